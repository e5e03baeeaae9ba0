"""The stack of blocks: one scan, so that compile time does not grow with depth."""

from collections.abc import Callable
from typing import Any

import jax
from flax import nnx

from ports.wan.nn.block import QKV, BeforeFFN, Conditions, DiTBlock
from ports.wan.nn.chunk_attention import ChunkMask
from ports.wan.sharding import split_heads
from worldkv_jax.memory import Context, KVSpan, Past, empty_buffer
from worldkv_jax.rollout import AttentionQueries
from worldkv_jax.rollout.offloading import scan_layers, stacked_layers


def run_blocks(
    blocks: DiTBlock,
    x: jax.Array,
    time: jax.Array,
    rope: tuple[jax.Array, jax.Array],
    conditions: Conditions,
    *,
    context: Context | None = None,
    mask: ChunkMask | None = None,
    before_ffn: BeforeFFN | None = None,
    collect: Callable[[QKV], Any] | None = None,
    layers: range | None = None,
) -> tuple[jax.Array, Any, Any]:
    """Transform the residual stream by all blocks, or by some.

    Args:
        blocks: the stacked blocks.
        x: float32 ``[B, T, d]``.
        time: modulation rows of `TimeEmbedding`.
        rope: cosine and sine of own tokens.
        conditions: of all blocks; ``extra`` of ``layers`` alone.
        context: the visible past of all blocks; ``None`` for none.
        mask: among own tokens, where they are whole sequences; training only, excludes ``context``.
        before_ffn: a backbone's own part of every block.
        collect: what to gather of every layer's `QKV`; a denoising pass gathers nothing.
        layers: the blocks to run, where they differ in ``before_ffn``.

    Returns:
        The new ``x``, what was collected and what ``before_ffn`` returned besides, stacked over layers.
    """
    structure, weights = nnx.split(blocks)
    held = () if context is None else context.layers

    def around(reference, held) -> tuple[KVSpan, ...]:
        return (() if reference is None else (reference,)) + (() if context is None else context.of_layer(held))

    def layer(carry, inputs):
        x, buffer = carry
        weights, conditions, held = inputs
        block = nnx.merge(structure, weights)
        past = Past(around(conditions.reference, held), context, buffer)
        x, own, past, extra = block(x, time, rope, past, conditions, before_ffn, mask)
        return (x, past.buffer), (collect(own) if collect else None, extra)

    if mask is not None:  # training: recomputing a block costs less than storing it, on a CPU too
        layer = jax.checkpoint(layer)
    first = jax.eval_shape(lambda *stacks: around(*_take(stacks, 0)), conditions.reference, held)
    carry = x, jax.tree.map(split_heads, empty_buffer(first, x.shape[1]))
    depth, offloaded = stacked_layers(weights)
    if layers is None and not offloaded:
        (x, _), (collected, extra) = jax.lax.scan(layer, carry, (weights, conditions, held))
        return x, collected, extra
    layers = range(depth) if layers is None else layers

    def chosen(carry, weights, number):  # reads what each layer needs where it lies; cutting the stacks would copy them
        extra = _take(conditions.extra, number - layers.start)
        given, held_ = _take((conditions._replace(extra=None), held), number)
        return layer(carry, (weights, given._replace(extra=extra), held_))

    (x, _), (collected, extra) = scan_layers(chosen, carry, weights, layers)
    return x, collected, extra


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
    depth, offloaded = stacked_layers(weights)
    if not offloaded:
        return jax.lax.map(lambda w: apply(nnx.merge(structure, w), inputs), weights)
    return scan_layers(lambda _, w, number: ((), apply(nnx.merge(structure, w), inputs)), (), weights, range(depth))[1]


def _take(tree: Any, index: jax.Array | int) -> Any:
    return jax.tree.map(lambda a: jax.lax.dynamic_index_in_dim(a, index, keepdims=False), tree)
