"""The stack of blocks: one scan, so that compile time does not grow with depth."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from ports.wan.attention import attention
from ports.wan.dit import QKV, Attend, DiTBlock
from ports.wan.visible import add_own, bring, empty_buffer
from worldkv_jax.memory import Context, KVSpan
from worldkv_jax.rollout import AttentionQueries


class Conditions(NamedTuple):
    """What each block is given besides tokens and time; every leaf has a leading layer axis."""

    film: tuple[jax.Array, jax.Array] | None = None
    """Camera scale and shift ``[L, B, T, d]``."""
    cross: tuple[jax.Array, jax.Array] | None = None
    """Keys and values ``[L, B, n, N, H]`` of prompt or image."""
    beside: KVSpan | None = None
    """Keys and values ``[L, B, n, N, H]`` that self-attention always sees besides own ones and the context."""
    own_part: Any = None
    """For ``between``."""


def run_blocks(
    blocks: DiTBlock,
    x: jax.Array,
    time_rows: jax.Array,
    rope: tuple[jax.Array, jax.Array],
    conditions: Conditions,
    *,
    context: Context | None = None,
    mask: jax.Array | None = None,
    between: Callable[[jax.Array, Any], tuple[jax.Array, Any]] | None = None,
    collect: Callable[[QKV], Any] | None = None,
    layers: range | None = None,
) -> tuple[jax.Array, Any, Any]:
    """Transform the residual stream by all blocks, or by some.

    Args:
        blocks: the stacked blocks.
        x: float32 ``[B, T, d]``.
        time_rows: of `TimeEmbedding`.
        rope: cosine and sine of own tokens.
        conditions: of all blocks; ``own_part`` of ``layers`` alone.
        context: the visible past of all blocks; ``None`` for none.
        mask: bool ``[B, T, T]`` among own tokens; training only, excludes ``context``.
        between: a backbone's own part of the block, before the feed-forward: takes ``x`` and the layer's
            ``own_part``, returns the new ``x`` and whatever is to be stacked over layers.
        collect: what to gather of every layer's `QKV`; a denoising pass gathers nothing.
        layers: the blocks to run, where they differ in ``between``.

    Returns:
        The new ``x``, what was collected and what ``between`` returned, stacked over layers.
    """
    structure, weights = nnx.split(blocks)

    def layer(carry, inputs):
        x, buffer = carry
        weights, conditions, past = inputs
        block = nnx.merge(structure, weights)
        if buffer is not None:
            buffer = bring(buffer, _around(conditions, past), context)
        attend = _attend(buffer, context, mask)
        x, own, buffer = block.attend(x, time_rows, rope, attend, film=conditions.film, cross=conditions.cross)
        made = None
        if between is not None:
            x, made = between(x, conditions.own_part)
        return (block.feed_forward(x, time_rows), buffer), (collect(own) if collect else None, made)

    if mask is not None:  # training: recomputing a block costs less than storing it, on a CPU too
        layer = jax.checkpoint(layer)
    past = None if context is None else context.span
    carry = x, empty_buffer(_around(conditions, past), x.shape[1])
    if layers is None:
        (x, _), (collected, made) = jax.lax.scan(layer, carry, (weights, conditions, past))
        return x, collected, made

    def chosen(state, _):  # reads what each layer needs where it lies; cutting the stacks would copy them
        number, carry = state
        own_part = _take(conditions.own_part, number)
        weights_, given, past_ = _take((weights, conditions._replace(own_part=None), past), layers.start + number)
        carry, gathered = layer(carry, (weights_, given._replace(own_part=own_part), past_))
        return (number + 1, carry), gathered

    # Counted, not read from a list of numbers: only so does XLA know where the next layer lies, and fetches it early.
    (_, (x, _)), (collected, made) = jax.lax.scan(chosen, (jnp.int32(0), carry), length=len(layers))
    return x, collected, made


def keys_and_values(own: QKV) -> KVSpan:
    """Collect what a memory stores."""
    return KVSpan(own.key, own.value)


def attention_queries(own: QKV) -> AttentionQueries:
    """Collect what retrieval by attention asks with, and what shows where a chunk looks."""
    return AttentionQueries(own.query.mean(axis=1), own.query, own.key)


def map_layers(apply: Callable[[Any, Any], Any], part: nnx.Module, inputs: Any) -> Any:
    """Apply one part of every block to the same inputs, layer by layer; results are stacked over layers.

    For what is constant over the passes of a chunk: camera scale and shift, keys and values of the prompt.
    """
    structure, weights = nnx.split(part)
    return jax.lax.map(lambda w: apply(nnx.merge(structure, w), inputs), weights)


def _around(conditions: Conditions, past: KVSpan | None) -> list[KVSpan]:
    return [span for span in (conditions.beside, past) if span is not None]


def _attend(buffer: KVSpan | None, context: Context | None, mask: jax.Array | None) -> Attend:
    def attend(own):
        rows = KVSpan(own.key, own.value)
        if buffer is None:
            return attention(own.query, *rows, mask=mask), None
        seen, visible = add_own(buffer, rows, context)
        return attention(own.query, *seen, length=visible), seen

    return attend


def _take(tree: Any, index: jax.Array) -> Any:
    return jax.tree.map(lambda a: jax.lax.dynamic_index_in_dim(a, index, keepdims=False), tree)
