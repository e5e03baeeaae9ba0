"""What a chunk's tokens attend to in one layer: a buffer of keys and values that all layers fill in turn.

What is around the chunk is brought there before anything of the layer is computed, so that XLA copies it beside the
projections of queries, keys and values. Joining it with own rows right before the attention would wait for the copy.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from ports.wan.sharding import split_heads
from worldkv_jax.memory import Context, KVSpan


def empty_buffer(around: Sequence[KVSpan], own_rows: int) -> KVSpan | None:
    """Make the buffer ``[B, T + n + ..., N, H]`` of a pass; ``None`` if own rows are all that is visible.

    Args:
        around: of all layers, each ``[L, B, n, N, H]``.
        own_rows: ``T``.
    """

    def empty(*stacks):
        _, worlds, _, *head = stacks[0].shape
        rows = own_rows + sum(stack.shape[2] for stack in stacks)
        return split_heads(jnp.zeros((worlds, rows, *head), stacks[0].dtype))

    return jax.tree.map(empty, *around) if around else None


def bring(buffer: KVSpan, around: Sequence[KVSpan], context: Context | None) -> KVSpan:
    """Write a layer's ``around``, each ``[B, n, N, H]``: behind own rows, or before them where those are hidden."""
    own_rows = buffer.keys.shape[1] - sum(span.keys.shape[1] for span in around)
    start = _unless_hidden(context, own_rows, 0)
    for span in around:
        buffer = _write(buffer, span, start)
        start += span.keys.shape[1]
    return buffer


def add_own(buffer: KVSpan, own: KVSpan, context: Context | None) -> tuple[KVSpan, jax.Array | None]:
    """Write a layer's own rows; also return how many rows are visible, int32, ``None`` for all.

    The context is the last that is brought, and its valid rows come first: one length says what is visible.
    """
    rows, own_rows = buffer.keys.shape[1], own.keys.shape[1]
    buffer = _write(buffer, own, _unless_hidden(context, 0, rows - own_rows))
    if context is None:
        return buffer, None
    visible = rows - context.span.keys.shape[2] + context.length
    return buffer, _unless_hidden(context, visible, visible - own_rows)


def _unless_hidden(context: Context | None, usually, hidden):
    """Choose by whether the chunk must not see itself; mostly that is no question, and nothing is compiled for it."""
    if context is None or context.hides_own is None:
        return usually
    return jnp.where(context.hides_own, hidden, usually)


def _write(buffer: KVSpan, rows: KVSpan, start) -> KVSpan:
    return jax.tree.map(lambda a, b: jax.lax.dynamic_update_slice_in_dim(a, b, start, axis=1), buffer, rows)
