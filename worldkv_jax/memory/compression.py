"""World Compression: which tokens of a chunk are worth keeping."""

import functools
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32

from kernels_pallas.anchor_similarity import anchor_similarity, anchor_vector, cosine, squared_norm
from kernels_pallas.compact import compact
from kernels_pallas.dispatch import Implementation
from kernels_pallas.select_lowest import select_lowest
from worldkv_jax.memory.compression_rule import CompressionRule
from worldkv_jax.memory.config import CompressionConfig
from worldkv_jax.memory.rule_arrays import with_arrays
from worldkv_jax.memory.spans import KVSpan


def kept_tokens(
    keys: Float[Array, "*lead T N H"],
    *,
    frames: int,
    kept: int,
    anchor: int = 0,
    pooled: bool = True,
    similarity: Literal["centroid", "per_key"] = "per_key",
    keep: Literal["novel", "redundant", "random"] = "novel",
    axis_name: str | None = None,
    kernels: Implementation = None,
) -> Int32[Array, "*lead kept"]:
    """Choose the tokens of a chunk that stay: its anchor frame, and those least like it.

    One choice serves all heads of a layer; every layer and world has its own (WorldKV, World Compression).

    Args:
        keys: ``[..., T, N, H]`` keys after RoPE; ``T`` is ``frames`` whole frames.
        frames: frames of the chunk.
        kept: non-anchor tokens that stay, over all frames.
        anchor: the frame that is kept whole.
        pooled: choose over all other frames together, else ``kept / (frames - 1)`` from each.
        similarity: what a key is compared with, see `CompressionConfig`.
        keep: ``novel`` keeps the least similar tokens, ``redundant`` the most similar ones, ``random`` any.
        axis_name: axis of the mesh over which other devices hold other heads, inside `jax.shard_map`.
        kernels: versions of the kernels, see `kernels_pallas`.

    Returns:
        Positions int32 ``[..., T / frames + kept]``. Pooled: the anchor, then the kept tokens in order. Per
        frame: all in order.
    """
    size = keys.shape[-3] // frames
    frame_of = jnp.arange(frames * size, dtype=jnp.int32).reshape(frames, size)
    lead = keys.shape[:-3]
    anchor_positions = jnp.broadcast_to(frame_of[anchor], (*lead, size))
    if not kept:
        return anchor_positions

    by_frame = keys.reshape(*lead, frames, size, *keys.shape[-2:])
    others = [f for f in range(frames) if f != anchor]
    # Slices around the anchor instead of a gather: for anchor 0 XLA reads the other frames in place.
    rest = jnp.concatenate([by_frame[..., :anchor, :, :, :], by_frame[..., anchor + 1 :, :, :, :]], axis=-4)
    rest = rest.reshape(*lead, len(others) * size, *keys.shape[-2:])
    anchor_keys = by_frame[..., anchor, :, :, :]
    norms = None if axis_name is None else jnp.sqrt(jax.lax.psum(squared_norm(anchor_keys), axis_name))
    target = anchor_vector(anchor_keys, similarity, key_norms=norms)
    partials = anchor_similarity(rest, target, implementation=kernels)
    scores = cosine(partials if axis_name is None else jax.lax.psum(partials, axis_name), kind=similarity)
    if keep == "redundant":
        scores = -scores
    if keep == "random":
        scores = _random_like(scores)

    if pooled:
        positions = jnp.concatenate([frame_of[f] for f in others])
        return jnp.concatenate(
            [anchor_positions, positions[select_lowest(scores, kept, implementation=kernels)]], axis=-1
        )
    per_frame = scores.reshape(*lead, len(others), size)
    chosen = select_lowest(per_frame, kept // len(others), implementation=kernels)
    parts = [chosen[..., i, :] + f * size for i, f in enumerate(others)]
    return jnp.concatenate([*parts[:anchor], anchor_positions, *parts[anchor:]], axis=-1)


def _random_like(scores: jax.Array) -> jax.Array:
    """Replace scores ``[..., n]`` by random numbers that they seed, row by row."""

    def draw(row: jax.Array) -> jax.Array:
        seed = jax.lax.bitcast_convert_type(row.sum(), jnp.uint32)
        return jax.random.uniform(jax.random.fold_in(jax.random.key(0), seed), row.shape)

    return jax.vmap(draw)(scores.reshape(-1, scores.shape[-1])).reshape(scores.shape)


def highest_tokens(
    rule: CompressionRule,
    span: KVSpan,
    *,
    frames: int,
    count: int,
    scores: Float[Array, "L B T"] | None = None,
    kernels: Implementation = None,
) -> Int32[Array, "L B count"]:
    """Choose the ``count`` tokens of a chunk ``[L, B, T, N, H]`` that a rule scores highest.

    Returns:
        Positions int32 ``[L, B, count]``, in order.
    """
    one_world = functools.partial(rule.score, frames=frames)
    worth = jax.vmap(one_world, in_axes=(1, None if scores is None else 1), out_axes=1)(span, scores)
    return select_lowest(-worth.astype(jnp.float32), count, implementation=kernels)


def compress(
    span: KVSpan,
    config: CompressionConfig,
    *,
    frames: int,
    anchor: int = 0,
    scores: Float[Array, "L B T"] | None = None,
    arrays: tuple[jax.Array, ...] = (),
) -> KVSpan:
    """Prune a chunk to the tokens that the configuration chooses; nothing if all would stay.

    Args:
        span: ``[L, B, T, N, H]``.
        config: how.
        frames: frames of the chunk.
        anchor: the frame that is kept whole, where there is one.
        scores: float ``[L, B, T]`` that the model gives its tokens, for rules that want them.
        arrays: of a rule that carries some.
    """
    tokens = span.keys.shape[-3]
    count = config.tokens(tokens // frames, frames)
    if count >= tokens:
        return span
    if config.rule is not None:
        rule = with_arrays(config.rule, arrays)
        indices = highest_tokens(rule, span, frames=frames, count=count, scores=scores, kernels=config.kernels)
        return KVSpan(*compact(tuple(span), indices, implementation=config.kernels))
    indices = kept_tokens(
        span.keys,
        frames=frames,
        kept=count - tokens // frames,
        anchor=anchor,
        pooled=config.pooled,
        similarity=config.similarity,
        keep=config.keep,
        axis_name=config.axis_name,
        kernels=config.kernels,
    )
    return KVSpan(*compact(tuple(span), indices, implementation=config.kernels))
