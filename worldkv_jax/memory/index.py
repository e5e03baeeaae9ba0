"""The index of a bank: which stored chunks are nearest to a view, and which place a new one takes."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Float32, Int32

from worldkv_jax.memory.layout import BankLayout
from worldkv_jax.memory.retrieval import choose, distances_between
from worldkv_jax.memory.rule_arrays import NO_ARRAYS, RuleArrays, carries_arrays, with_arrays

FARTHEST = float(jnp.finfo(jnp.float32).max)
"""Score of a chunk that was not found: the largest number and not infinity, which is an error in a strict mode."""


class Index(NamedTuple):
    """What retrieval knows of the stored chunks; always on the device, whatever tier holds them."""

    descriptions: Float32[Array, "C B D"]  # made by the retrieval rule
    chunks: Int32[Array, " C"]  # ids, -1 where empty


class Picks(NamedTuple):
    """Chunks chosen for one view, nearest first."""

    slots: Int32[Array, "B K"]  # of the bank
    chunks: Int32[Array, "B K"]  # ids, -1 beyond `count`
    scores: Float32[Array, "B K"]  # lower is nearer, `FARTHEST` beyond `count`
    count: Int32[Array, ""]  # pyright: ignore[reportIncompatibleMethodOverride]  # chunks really found (and no tuple.count)


def empty_index(layout: BankLayout) -> Index:
    """Make the index of a bank that holds nothing."""
    spec, worlds = layout.spec, layout.worlds
    description = jax.eval_shape(
        lambda view, keys, arrays: describe_chunk(view, keys, layout, RuleArrays(retrieval=arrays)),
        jax.tree.map(lambda x: jax.ShapeDtypeStruct((worlds, spec.stored_frames, *x.shape), x.dtype), layout.view),
        jax.ShapeDtypeStruct(spec.shape(worlds, layout.chunk_tokens), spec.dtype),
        tuple(jax.tree.leaves(layout.retrieval.rule)) if carries_arrays(layout.retrieval.rule) else (),
    )
    shape = (layout.capacity, *description.shape)
    return Index(jnp.zeros(shape, jnp.float32), jnp.full((layout.capacity,), -1, jnp.int32))


def describe_chunk(
    view: Any, keys: Float[Array, "L B T N H"], layout: BankLayout, rules: RuleArrays = NO_ARRAYS
) -> Float32[Array, "B D"]:
    """Describe a finished chunk in every world: cameras ``[B, F, 4, 4]`` or another view, keys ``[L, B, T, N, H]``."""
    rule = with_arrays(layout.retrieval.rule, rules.retrieval)
    return jax.vmap(rule.describe, in_axes=(0, 1))(view, keys)


@functools.partial(jax.jit, static_argnames="layout", inline=True)
def pick(
    index: Index,
    chunk: Int32[Array, ""],
    view: Any,
    query: Float[Array, "L B N H"] | None,
    layout: BankLayout,
    rules: RuleArrays = NO_ARRAYS,
) -> Picks:
    """Choose the stored chunks nearest to the view of chunk ``chunk``.

    Args:
        index: the bank's index.
        chunk: int32, the chunk that comes next.
        view: cameras ``[B, F, 4, 4]`` of that chunk, or whatever else the rule looks at.
        query: mean queries ``[L, B, N, H]`` of that chunk, for the attention rule.
        layout: static sizes.
        rules: arrays of rules that carry some.
    """
    number, retrieval = layout.spec.stored(chunk), layout.retrieval
    valid, rule = _candidates(index, number, layout), with_arrays(retrieval.rule, rules.retrieval)

    def one_world(view: Any, query: jax.Array | None, descriptions: jax.Array) -> tuple[jax.Array, jax.Array]:
        asked = rule.describe_query(view, query)
        return choose(rule, asked, descriptions, index.chunks, valid, retrieval.chunks)

    in_axes = (0, None if query is None else 1, 1)
    slots, scores = jax.vmap(one_world, in_axes=in_axes)(view, query, index.descriptions)
    count = jnp.minimum(valid.sum(dtype=jnp.int32), retrieval.chunks)
    found = jnp.arange(retrieval.chunks, dtype=jnp.int32)[None] < count
    return Picks(slots, jnp.where(found, index.chunks[slots], -1), jnp.where(found, scores, FARTHEST), count)


def locate(index: Index, chunk: Int32[Array, ""], ids: Int32[Array, "B K"], layout: BankLayout) -> Picks:
    """Find the stored chunks of given ids ``[B, K]``, for chunk number ``chunk``.

    An id that is no candidate (negative, dropped, or still in the window) is left out. All worlds get as many chunks
    as the one with the fewest.
    """
    candidates = _candidates(index, layout.spec.stored(chunk), layout)
    same = (ids[..., None] == index.chunks[None, None]) & candidates[None, None]
    found = same.any(axis=-1)
    first = jnp.argsort(~found, axis=-1, stable=True)
    slots, ids = (jnp.take_along_axis(x, first, axis=-1) for x in (jnp.argmax(same, axis=-1).astype(jnp.int32), ids))
    count = found.sum(axis=-1, dtype=jnp.int32).min()
    kept = jnp.arange(ids.shape[1], dtype=jnp.int32)[None] < count
    return Picks(slots, jnp.where(kept, ids, -1), jnp.where(kept, jnp.float32(0), FARTHEST), count)


def _candidates(index: Index, chunk: Int32[Array, ""], layout: BankLayout) -> Bool[Array, " C"]:
    """Tell which slots ``[C]`` hold a chunk that may be retrieved when ``chunk`` of them were offered."""
    valid = (index.chunks >= layout.first_candidate) & (index.chunks < chunk - layout.candidate_lag)
    if layout.config.when_full == "drop_oldest":  # looking ahead, one more chunk will be gone by then
        valid &= index.chunks >= chunk - layout.capacity
    return valid


def place(
    index: Index,
    chunk: Int32[Array, ""],
    description: Float32[Array, "B D"],
    layout: BankLayout,
    rules: RuleArrays = NO_ARRAYS,
) -> tuple[Int32[Array, ""], Bool[Array, ""]]:
    """Choose the slot of a new chunk, the id of which is ``chunk``.

    Returns:
        The slot, int32, and whether the chunk is stored at all: not if it lies in the sink, if a full bank
        refuses it, or if it is itself the most redundant one.
    """
    stored = chunk - layout.first_stored
    wanted = stored >= 0
    capacity, policy = layout.capacity, layout.config.when_full
    if policy == "error":
        return jnp.clip(stored, 0, capacity - 1), wanted & (stored < capacity)
    if policy == "drop_oldest":
        return stored % capacity, wanted
    room = stored < capacity
    # Comparing all pairs is only worth it once the bank is full.
    redundant = jax.lax.cond(
        room, lambda: jnp.int32(capacity), lambda: most_redundant(index, chunk, description, layout, rules)
    )
    slot = jnp.where(room, jnp.clip(stored, 0, capacity - 1), jnp.minimum(redundant, capacity - 1))
    return slot, wanted & (room | (redundant < capacity))


def most_redundant(
    index: Index,
    chunk: Int32[Array, ""],
    description: Float32[Array, "B D"],
    layout: BankLayout,
    rules: RuleArrays = NO_ARRAYS,
) -> Int32[Array, ""]:
    """Find the younger of the two chunks whose views are nearest to each other; ``C`` means the new one.

    Distances are the retrieval rule's, averaged over worlds; all pairs of a full bank are compared on one scale.
    """
    everything = jnp.concatenate([index.descriptions, description[None]])  # [C + 1, B, D]
    chunks = jnp.concatenate([index.chunks, chunk[None]])
    rule = with_arrays(layout.retrieval.rule, rules.retrieval)
    scores = jax.vmap(lambda world: distances_between(rule, world), in_axes=1)(everything).mean(axis=0)
    # Each pair counts once, from its younger side.
    nearest_older = jnp.min(jnp.where(chunks[None] < chunks[:, None], scores, jnp.inf), axis=1)
    _, _, order = jax.lax.sort((nearest_older, chunks, jnp.arange(chunks.shape[0], dtype=jnp.int32)), num_keys=2)
    return order[0]


def write_index(
    index: Index,
    slot: Int32[Array, ""],
    stored: Bool[Array, ""],
    chunk: Int32[Array, ""],
    description: Float32[Array, "B D"],
) -> Index:
    """Write a chunk's description and id into the index, if it is stored."""
    return Index(
        index.descriptions.at[slot].set(jnp.where(stored, description, index.descriptions[slot])),
        index.chunks.at[slot].set(jnp.where(stored, chunk, index.chunks[slot])),
    )
