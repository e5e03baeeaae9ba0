"""What a chunk's tokens attend to in one layer: their own rows, and all that is visible around them.

Own rows come first and the valid rows of a context right behind them, so that one length says what is visible; a chunk
that must not see itself comes last, behind that length. Rows get there in one of two ways. `attend` concatenates them.
A model that scans over its layers can carry one buffer from layer to layer instead, and write the context into it
before it computes anything else: on a GPU XLA then copies the context beside the projections of queries, keys and
values, where a concatenation waits for them (LingBot-World: 1.2 to 1.7 GB a layer). Under `jax.vmap` a write is a
scatter and a concatenation is not, so that worlds by vmap are better off with `attend`.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from kernels_pallas.attention import attention
from worldkv_jax.memory.context import Context
from worldkv_jax.memory.spans import KVSpan, check_span, concatenate


def attend(
    query: Float[Array, "B T M H"], own: KVSpan, context: Context, layer: int | jax.Array
) -> Float[Array, "B T M H"]:
    """Attend to the chunk's own tokens and to all that the context holds of one layer.

    Args:
        query: ``[B, T, M, H]`` after RoPE; ``M`` is ``N`` or, for grouped queries, a multiple of it.
        own: keys after RoPE and values of the chunk in this layer, ``[B, T, N, H]``.
        context: from `recall`.
        layer: which of its layers; may be traced, as in a scan over layers.

    Returns:
        ``[B, T, M, H]`` in the dtype of ``query``.

    Raises:
        ValueError: what is no context or span, shapes and dtypes that do not fit, or a layer that the memory does not
            have.
    """
    if not isinstance(context, Context):
        raise ValueError(f"context is a {type(context).__name__}, expected the first of the two that `recall` returns")
    spans = context.layer(layer)
    worlds, _, *head = spans[0].keys.shape
    tokens = getattr(own.keys, "shape", ())[1:2] if isinstance(own, KVSpan) else ()
    check_span(own, (worlds, *tokens, *head), "one layer's [worlds, tokens, heads, head dim]")
    if jnp.ndim(query) != 4 or query.dtype != own.keys.dtype:
        raise ValueError(
            f"query is {query.dtype}{list(query.shape)} beside own keys {own.keys.dtype}{list(own.keys.shape)}: "
            "expected [worlds, tokens, heads, head dim] of their dtype, where heads are theirs or a multiple"
        )
    return Past(spans, context).attend(query, own)[0]


class Past(NamedTuple):
    """What a chunk's tokens see in one layer besides themselves; by default nothing."""

    spans: tuple[KVSpan, ...] = ()
    """This layer's rows besides own ones, each ``[B, n, N, H]``; those of a context, in its order, are the last."""
    context: Context | None = None
    """Says how many of the context's rows are valid, and whether the chunk sees itself; ``None`` without a context."""
    buffer: KVSpan | None = None
    """``[B, T + n + ..., N, H]`` of `empty_buffer`, or from the layer before; ``None`` to concatenate."""

    def write_spans(self) -> "Past":
        """Write this layer's rows into the buffer, if there is one: call it before the layer computes anything."""
        if self.buffer is None:
            return self
        buffer, start = self.buffer, self._unless_hidden(_rows(self.buffer) - sum(map(_rows, self.spans)), 0)
        for span in self.spans:
            buffer = _write(buffer, span, start)
            start += _rows(span)
        return self._replace(buffer=buffer)

    def attend(
        self, query: jax.Array, own: KVSpan, attention: Callable[..., jax.Array] = attention
    ) -> tuple[jax.Array, "Past"]:
        """Attend to own rows and to this layer's past, after `write_spans`.

        Args:
            query: ``[B, T, M, H]`` after RoPE.
            own: ``[B, T, N, H]``.
            attention: called as `kernels_pallas.attention.attention` is, which it is by default.

        Returns:
            ``[B, T, M, H]`` in the dtype of ``query``, and the past, whose buffer the next layer goes on with.
        """
        rows = _rows(own) + sum(map(_rows, self.spans))
        past, visible = self, own
        if self.buffer is not None:
            visible = _write(self.buffer, own, self._unless_hidden(0, rows - _rows(own)))
            past = self._replace(buffer=visible)
        elif self.spans:
            visible = self._concatenate(own, rows)
        if self.context is None:
            return attention(query, *visible), past
        length = rows - self.context.rows + self.context.length
        return attention(query, *visible, length=self._unless_hidden(length, length - _rows(own))), past

    def _concatenate(self, own: KVSpan, rows: int) -> KVSpan:
        spans = [jax.tree.map(lambda a, b: a.astype(b.dtype), span, own) for span in self.spans]
        if self.context is None or self.context.hides_own is None:
            return concatenate([own, *spans])
        start = self._unless_hidden(0, _rows(own))
        take = jax.lax.dynamic_slice_in_dim
        return jax.tree.map(lambda a: take(a, start, rows, axis=1), concatenate([own, *spans, own]))

    def _unless_hidden(self, usually: int | jax.Array, hidden: int | jax.Array) -> int | jax.Array:
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

    def empty(*spans: jax.Array) -> jax.Array:
        worlds, _, *head = spans[0].shape
        return jnp.zeros((worlds, own_rows + sum(span.shape[1] for span in spans), *head), spans[0].dtype)

    return jax.tree.map(empty, *spans) if spans else None


def _rows(span: KVSpan) -> int:
    return span.keys.shape[1]


def _write(buffer: KVSpan, rows: KVSpan, start: int | jax.Array) -> KVSpan:
    write = jax.lax.dynamic_update_slice_in_dim
    return jax.tree.map(lambda a, b: write(a, b.astype(a.dtype), start, axis=1), buffer, rows)
