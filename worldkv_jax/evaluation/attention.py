"""Where a model looks: the share of a chunk's attention that falls on each chunk of its past.

It rests on one method that a backbone may have, `AttentionProbe.attention_queries`, the same that retrieval by
attention takes; no rollout pays for the analysis.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import rankdata

from worldkv_jax.memory import Context, Picks, recall
from worldkv_jax.memory.world_memory import window_context
from worldkv_jax.rollout import AttentionProbe, AttentionQueries, Backbone, ChunkInput, World
from worldkv_jax.rollout.chunk_step import needs_queries, prepare

_QUERIES = 256  # tokens of a chunk whose attention is averaged, at most


class AttentionMap(NamedTuple):
    """One pass of one chunk over its memory."""

    mass: np.ndarray
    """Share of the attention on each past chunk ``[L, B, N, C]``, averaged over the queries; the rest is on own
    keys."""
    context: Context
    queries: AttentionQueries
    picks: Picks | None


def attention_map(
    backbone: Backbone, params: Any, world: World, chunk: ChunkInput, x: jax.Array, t: float, *, chunks: int
) -> AttentionMap:
    """Run one pass and tell where it looks.

    Args:
        backbone: the model, one that is an `AttentionProbe`.
        params: its parameters.
        world: the state before the chunk; it is left as it is.
        chunk: cameras and conditions of the chunk.
        x: latents ``[B, *latent_shape]`` as they are at time ``t``.
        t: diffusion time, in the model's units.
        chunks: ``C``, the length of the rollout; the same for all chunks, so that nothing recompiles.

    Raises:
        ValueError: a backbone that is no `AttentionProbe`.
    """
    if not isinstance(backbone, AttentionProbe):
        raise ValueError(
            f"{type(backbone).__name__} has no `attention_queries` method, so its attention cannot be seen; return the "
            "queries and own keys of every layer from it, see worldkv_jax.rollout.AttentionProbe"
        )
    memory, t, query = world.memory, jnp.float32(t), None
    prepared = prepare(params, world.carry, chunk, world.position, backbone=backbone)
    if needs_queries(memory):
        query = _queries(params, x, t, prepared, window_context(memory), backbone=backbone).mean
    context, picks = recall(memory, chunk.cameras, query=query)
    queries = _queries(params, x, t, prepared, context, backbone=backbone)
    mass = attention_mass(queries, context, context.chunks, chunks=chunks)
    return AttentionMap(np.asarray(mass), context, queries, picks)


@functools.partial(jax.jit, static_argnames=("chunks", "most"))
def attention_mass(
    queries: AttentionQueries, context: Context, rows: jax.Array, *, chunks: int, most: int = _QUERIES
) -> jax.Array:
    """Compute the share of attention that falls on each past chunk.

    Args:
        queries: of the pass, with its own keys.
        context: what is recalled.
        rows: int32 ``[B, W]``, the chunk of each row of the context, -1 where it is not valid.
        chunks: ``C``.
        most: tokens to average over at most, evenly spaced; all logits of one layer are in memory at once.

    Returns:
        float32 ``[L, B, N, C]``.
    """
    step = -(-queries.query.shape[2] // most)
    if queries.length is not None:
        rows = jnp.where(jnp.arange(rows.shape[1]) < queries.length, rows, -1)
    of_chunk = (rows[..., None] == jnp.arange(chunks)[None, None]).astype(jnp.float32)

    def layer(inputs):
        query, own, past = (x.astype(jnp.float32) for x in inputs)
        query = query[:, ::step] * query.shape[-1] ** -0.5
        on_own, on_past = (jnp.einsum("btnh,bwnh->bntw", query, keys) for keys in (own, past))
        on_past = jnp.where(rows[:, None, None] >= 0, on_past, -jnp.inf)
        if context.hides_own is not None:
            on_own = jnp.where(context.hides_own, -jnp.inf, on_own)
        share = jax.nn.softmax(jnp.concatenate([on_own, on_past], axis=-1), axis=-1)[..., own.shape[1] :]
        return jnp.einsum("bntw,bwc->bnc", share, of_chunk) / query.shape[1]

    return jax.lax.map(layer, (queries.query, queries.keys, context.span.keys))


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
def _queries(
    params: Any, x: jax.Array, t: jax.Array, prepared: Any, context: Context, *, backbone: AttentionProbe
) -> AttentionQueries:
    return backbone.attention_queries(params, x, t, prepared, context)
