"""What a chunk's tokens attend to in one layer: a buffer of keys and values that all layers fill in turn.

The context is written before anything of the layer is computed, so that XLA copies it beside the projections of
queries, keys and values. Joining it with own rows right before the attention would wait for the copy.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ports.wan.nn.chunk_attention import ChunkMask
from ports.wan.sharding import split_heads
from worldkv_jax.memory import Context, KVSpan


class Past(NamedTuple):
    """What a chunk's tokens see in one layer besides themselves; by default nothing."""

    buffer: KVSpan | None = None
    """``[B, T + n + ..., N, H]`` for own rows and all others; ``None`` if own rows are all that is visible."""
    spans: tuple[KVSpan, ...] = ()
    """This layer's rows besides own ones, each ``[B, n, N, H]``; those of a context, in its order, are the last."""
    context: Context | None = None
    """Says how many of the context's rows are valid, and whether the chunk sees itself; ``None`` without a context."""
    mask: ChunkMask | None = None
    """Among own tokens, where they are whole sequences; training only, excludes everything else."""

    def write_context(self) -> "Past":
        """Write this layer's rows into the buffer: behind own rows, or before them where those are hidden."""
        if self.buffer is None:
            return self
        own_rows = self.buffer.keys.shape[1] - sum(span.keys.shape[1] for span in self.spans)
        buffer, start = self.buffer, self._unless_hidden(own_rows, 0)
        for span in self.spans:
            buffer = _write(buffer, span, start)
            start += span.keys.shape[1]
        return self._replace(buffer=buffer)

    def append_own(self, own: KVSpan) -> tuple["Past", KVSpan, jax.Array | None]:
        """Write own rows ``[B, T, N, H]`` into the buffer.

        Valid rows of the context come first in it, so that one length says what is visible.

        Returns:
            The past with the buffer for the next layer; the rows that hold all that is visible; and how many of them
            do, int32, ``None`` for all.
        """
        if self.buffer is None:
            return self, own, None
        rows, own_rows = self.buffer.keys.shape[1], own.keys.shape[1]
        buffer = _write(self.buffer, own, self._unless_hidden(0, rows - own_rows))
        past = self._replace(buffer=buffer)
        if self.context is None:
            return past, buffer, None
        visible = rows - self.context.rows + self.context.length
        return past, buffer, self._unless_hidden(visible, visible - own_rows)

    def _unless_hidden(self, usually, hidden):
        """Choose by whether the chunk must not see itself; mostly no question, and nothing is compiled for it."""
        if self.context is None or self.context.hides_own is None:
            return usually
        return jnp.where(self.context.hides_own, hidden, usually)


def empty_buffer(spans: tuple[KVSpan, ...], own_rows: int) -> KVSpan | None:
    """Make the buffer ``[B, T + n + ..., N, H]`` of a pass; ``None`` if own rows are all that is visible.

    Args:
        spans: the other rows of a layer, each ``[B, n, N, H]``, or their shapes.
        own_rows: ``T``.
    """

    def empty(*spans):
        worlds, _, *head = spans[0].shape
        rows = own_rows + sum(span.shape[1] for span in spans)
        return split_heads(jnp.zeros((worlds, rows, *head), spans[0].dtype))

    return jax.tree.map(empty, *spans) if spans else None


def _write(buffer: KVSpan, rows: KVSpan, start) -> KVSpan:
    return jax.tree.map(lambda a, b: jax.lax.dynamic_update_slice_in_dim(a, b, start, axis=1), buffer, rows)
