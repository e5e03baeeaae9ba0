"""Where a model looks: the share of a chunk's attention that falls on each chunk of its past.

The hook is one method that a backbone may have, `AttentionHook.asks`. Nothing calls it but this analysis, so a
rollout does not pay for it.
"""

import functools
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import rankdata

from worldkv_jax.evaluation.context_rows import row_chunks
from worldkv_jax.memory import Context, Picks, recall, window_context
from worldkv_jax.memory.retrieval import needs_query
from worldkv_jax.rollout import Backbone, ChunkInput, World

_QUERIES = 256  # tokens of a chunk whose attention is averaged, at most


class Asked(NamedTuple):
    """What every layer of a pass asks with, and what it sees besides its memory."""

    query: jax.Array  # [L, B, T, N, H] after RoPE
    keys: jax.Array  # [L, B, n, N, H] after RoPE: own keys, and others that are always seen
    length: jax.Array | None = None  # int32, rows of the context that are seen, where not all that are valid


@runtime_checkable
class AttentionHook(Protocol):
    """What a backbone also offers if its attention is to be analysed."""

    def asks(self, params: Any, x: jax.Array, t: jax.Array, prepared: Any, context: Context) -> Asked:
        """Run one pass over noisy latents and return every layer's queries and own keys."""
        ...


class Look(NamedTuple):
    """One pass of one chunk over its memory."""

    mass: np.ndarray
    """Share of the attention on each past chunk ``[L, B, N, C]``, averaged over the queries; the rest is on own
    keys."""
    context: Context
    asked: Asked
    picks: Picks | None


def look(
    backbone: Backbone, params: Any, world: World, chunk: ChunkInput, x: jax.Array, t: float, *, chunks: int
) -> Look:
    """Run one pass and tell where it looks.

    Args:
        backbone: the model, with an `AttentionHook`.
        params: its parameters.
        world: the state before the chunk; it is left as it is.
        chunk: cameras and conditions of the chunk.
        x: latents ``[B, *latent_shape]`` as they are at time ``t``.
        t: diffusion time, in the model's units.
        chunks: ``C``, the length of the rollout; the same for all chunks, so that nothing recompiles.

    Raises:
        ValueError: a backbone without the hook.
    """
    if not isinstance(backbone, AttentionHook):
        raise ValueError(
            f"{type(backbone).__name__} has no `asks` method, so its attention cannot be seen; return the queries and "
            "own keys of every layer from it, see worldkv_jax.evaluation.attention.AttentionHook"
        )
    memory, query = world.memory, None
    prepared = _prepare(params, world.carry, chunk, world.position, backbone=backbone)
    retrieval = memory.layout.config.retrieval
    if retrieval is not None and needs_query(retrieval.rule):
        query = backbone.queries(params, x, jnp.float32(t), prepared, window_context(memory))
    context, picks = (_recall if memory.on_device else recall)(memory, chunk.cameras, query=query)
    asked = _ask(params, x, jnp.float32(t), prepared, context, backbone=backbone)
    rows = row_chunks(memory.layout, int(memory.chunk), picks)
    return Look(np.asarray(attention_mass(asked, context, rows, chunks=chunks)), context, asked, picks)


@functools.partial(jax.jit, static_argnames=("chunks", "queries"))
def attention_mass(
    asked: Asked, context: Context, rows: jax.Array, *, chunks: int, queries: int = _QUERIES
) -> jax.Array:
    """Compute the share of attention that falls on each past chunk.

    Args:
        asked: queries and own keys.
        context: what is recalled.
        rows: int32 ``[B, W]``, the chunk of each row of the context, -1 where it is not valid.
        chunks: ``C``.
        queries: most tokens to average over, evenly spaced; all logits of one layer are in memory at once.

    Returns:
        float32 ``[L, B, N, C]``.
    """
    step = -(-asked.query.shape[2] // queries)
    if asked.length is not None:
        rows = jnp.where(jnp.arange(rows.shape[1]) < asked.length, rows, -1)
    of_chunk = (rows[..., None] == jnp.arange(chunks)).astype(jnp.float32)

    def layer(inputs):
        query, own, past = (x.astype(jnp.float32) for x in inputs)
        query = query[:, ::step] * query.shape[-1] ** -0.5
        on_own, on_past = (jnp.einsum("btnh,bwnh->bntw", query, keys) for keys in (own, past))
        on_past = jnp.where(rows[:, None, None] >= 0, on_past, -jnp.inf)
        if context.hides_own is not None:
            on_own = jnp.where(context.hides_own, -jnp.inf, on_own)
        share = jax.nn.softmax(jnp.concatenate([on_own, on_past], axis=-1), axis=-1)[..., own.shape[1] :]
        return jnp.einsum("bntw,bwc->bnc", share, of_chunk) / query.shape[1]

    return jax.lax.map(layer, (asked.query, asked.keys, context.span.keys))


def rank_correlation(values, others) -> np.ndarray:
    """Compute Spearman's rank correlation along the last axis; ``[...]``, NaN where either side is constant.

    Args:
        values: ``[..., n]``.
        others: ``[..., n]``; leading axes broadcast.
    """
    a, b = (rankdata(x, axis=-1) for x in np.broadcast_arrays(values, others))
    a, b = (x - x.mean(axis=-1, keepdims=True) for x in (a, b))
    scale = np.sqrt((a * a).sum(axis=-1) * (b * b).sum(axis=-1))
    return np.where(scale > 0, (a * b).sum(axis=-1) / np.where(scale > 0, scale, 1), np.nan)


@functools.partial(jax.jit, static_argnames="backbone")
def _prepare(params, carry, chunk: ChunkInput, position, *, backbone: Backbone):
    return backbone.prepare_chunk(params, carry, chunk, position)


@functools.partial(jax.jit, static_argnames="backbone")
def _ask(params, x, t, prepared, context: Context, *, backbone: Backbone):
    return backbone.asks(params, x, t, prepared, context)


_recall = jax.jit(recall)
