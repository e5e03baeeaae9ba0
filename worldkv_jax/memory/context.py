"""The context of one chunk: sink, recent frames and retrieved chunks, packed for attention."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.core import Tracer

from worldkv_jax.memory.bank import Fetched
from worldkv_jax.memory.compression import compress
from worldkv_jax.memory.index import Picks
from worldkv_jax.memory.layout import BankLayout, WindowLayout
from worldkv_jax.memory.retrieved import Retrieved, restore
from worldkv_jax.memory.spans import KVSpan, concatenate
from worldkv_jax.memory.window import Window, latest, valid_tokens


class Context(NamedTuple):
    """The past that a chunk attends to: parts whose rows, one part after another, are valid up to ``length``.

    Nothing is copied that a layer can read where it lies: outside of jit the parts of sink and recent frames are the
    window's own buffers, which `remember` consumes. Whoever needs a context for longer keeps its `span`.
    """

    parts: tuple[KVSpan | Retrieved, ...]  # KVSpan: [L, B, n, N, H]; valid rows in any order
    length: jax.Array  # int32
    hides_own: jax.Array | None = None  # bool: the chunk must not attend to itself; released code, short videos

    @property
    def span(self) -> KVSpan:
        """All rows of all layers, joined: ``[L, B, W, N, H]``. A copy; what attends layer by layer needs none."""
        spans = [part.span if isinstance(part, Retrieved) else part for part in self.parts]
        return spans[0] if len(spans) == 1 else concatenate(spans)

    @property
    def rows(self) -> int:
        """Rows of all parts, ``W``."""
        return sum(part.rows if isinstance(part, Retrieved) else part.keys.shape[-3] for part in self.parts)

    @property
    def layers(self) -> tuple:
        """What a scan over layers takes: the arrays of all parts, with a leading axis of layers."""
        return tuple(part.chunks if isinstance(part, Retrieved) else part for part in self.parts)

    def of_layer(self, arrays: tuple) -> tuple[KVSpan, ...]:
        """Return the keys and values ``[B, n, N, H]`` of one layer, which one element of `layers` holds."""
        spans = []
        for part, held in zip(self.parts, arrays):
            spans += part.of_layer(held) if isinstance(part, Retrieved) else [held]
        return tuple(spans)

    def __repr__(self) -> str:
        length = "some" if not isinstance(self.length, jax.Array) or isinstance(self.length, Tracer) else self.length
        if not isinstance(jax.tree.leaves(self.layers)[0], jax.Array):  # of a transformation, or of its shapes
            return f"Context({length} rows valid)"
        keys = jax.eval_shape(lambda context: context.span.keys, self)
        return f"Context({length} rows valid of keys and values {keys.dtype}{list(keys.shape)})"


def window_alone(window: Window, chunk: jax.Array, layout: WindowLayout) -> Context:
    """Pack sink and recent frames, with nothing retrieved."""
    return Context(_parts(_sink(window.sink, chunk, layout), window.ring), _filled(chunk, layout))


def assemble(
    window: Window, chunk: jax.Array, fetched: Fetched, *, window_layout: WindowLayout, bank_layout: BankLayout
) -> Context:
    """Pack sink, recent frames and retrieved chunks so that what is valid comes first.

    The sink fills before the ring, and chunks are only retrieved once their successors fill the ring, so
    the order sink, ring, retrieved needs no packing.
    """
    layouts = {"window_layout": window_layout, "bank_layout": bank_layout}
    sink = _sink(window.sink, chunk, window_layout)
    if window_layout.far_frames:
        part, length, hides_own = _ring_and_retrieved(window.ring, chunk, fetched, **layouts)
        return Context(_parts(sink, part), length, hides_own)
    if isinstance(fetched.spans, KVSpan) or bank_layout.compression.at == "retrieval":
        part, length = _retrieved(chunk, fetched, **layouts)
    else:
        shift, length = _shift_and_length(chunk, fetched.picks, **layouts)
        ranks = bank_layout.retrieval.chunks
        part = Retrieved(tuple(fetched.spans[rank::ranks] for rank in range(ranks)), shift, bank_layout)
    return Context(_parts(sink, window.ring, part), length)


@functools.partial(jax.jit, static_argnames="layout", inline=True)
def _filled(chunk: jax.Array, layout: WindowLayout) -> jax.Array:
    return sum(valid_tokens(chunk * layout.spec.chunk_frames, layout))


@functools.partial(jax.jit, static_argnames=("window_layout", "bank_layout"), inline=True)
def _shift_and_length(chunk: jax.Array, picks: Picks, *, window_layout: WindowLayout, bank_layout: BankLayout):
    """Return by how many frames retrieved chunks move, and how many rows are valid with the window before them."""
    length = _filled(chunk, window_layout) + picks.count * bank_layout.kept_tokens
    if not bank_layout.rebases:
        return None, length
    return rebase_frames(picks, chunk, bank_layout, near_frames=window_layout.near_frames), length


@functools.partial(jax.jit, static_argnames=("window_layout", "bank_layout"), inline=True)
def _retrieved(chunk: jax.Array, fetched: Fetched, *, window_layout: WindowLayout, bank_layout: BankLayout):
    """Return what was retrieved as it is attended to, and the length that goes with it."""
    shift, length = _shift_and_length(chunk, fetched.picks, window_layout=window_layout, bank_layout=bank_layout)
    return _flatten(_condition(fetched, shift, bank_layout)), length


@functools.partial(jax.jit, static_argnames=("window_layout", "bank_layout"), inline=True)
def _ring_and_retrieved(
    ring: KVSpan, chunk: jax.Array, fetched: Fetched, *, window_layout: WindowLayout, bank_layout: BankLayout
):
    """Return ring and retrieved chunks where older frames give way to the latter: the released window."""
    size, near_frames = window_layout.spec.tokens_per_frame, window_layout.near_frames
    retrieved, length = _retrieved(chunk, fetched, window_layout=window_layout, bank_layout=bank_layout)
    seen = chunk * window_layout.spec.chunk_frames
    sink_rows, ring_rows = valid_tokens(seen, window_layout)
    # Chosen row by row, which XLA fuses into one write: a `cond` would first make both contexts, then copy one.
    any_found = fetched.picks.count > 0
    near_and_retrieved = concatenate([latest(ring, seen, near_frames, window_layout), retrieved])
    rows = near_and_retrieved.keys.shape[2]
    unused = jax.tree.map(lambda a: a[:, :, rows:], ring)
    before, after = _pad(ring, rows), concatenate([near_and_retrieved, unused])
    chosen = jax.tree.map(lambda new, old: jnp.where(any_found, new, old), after, before)
    length = jnp.where(any_found, length - ring_rows + near_frames * size, sink_rows + ring_rows)
    return chosen, length, any_found if window_layout.hides_own else None


def _sink(sink: KVSpan, chunk: jax.Array, layout: WindowLayout) -> KVSpan:
    """Return the sink as it is attended to, which is where it lies unless it moves."""
    return sink if layout.sink_reach is None else _moved(sink, chunk, layout)


@functools.partial(jax.jit, static_argnames="layout", inline=True)
def _moved(sink: KVSpan, chunk: jax.Array, layout: WindowLayout) -> KVSpan:
    """Turn the sink's keys to lie right before the rest of the past, once they would lie farther back."""
    shift = jnp.maximum(0, chunk * layout.spec.chunk_frames - layout.sink_reach)
    return sink._replace(keys=layout.spec.rope.shift_time(sink.keys, shift))


def _parts(*spans: KVSpan | Retrieved) -> tuple[KVSpan | Retrieved, ...]:
    """Leave out what has no rows, but for the last."""
    return tuple(span for span in spans[:-1] if span.keys.shape[2]) + spans[-1:]


def _condition(fetched: Fetched, shift: jax.Array | None, layout: BankLayout) -> KVSpan:
    """Restore retrieved chunks ``[L, B, K, P, N, H]``, and prune them where the configuration says so."""
    compression, frames = layout.compression, layout.spec.chunk_frames
    span = restore(fetched.joined(layout.worlds), None if shift is None else shift[None, :, :, None], layout)
    if compression.at == "retrieval":
        # The rank of a chunk decides its anchor frame, so ranks are pruned one by one.
        ranks = range(span.keys.shape[2])
        anchors = [rank % frames if compression.rotate_anchor else 0 for rank in ranks]
        pruned = [
            compress(jax.tree.map(lambda a: a[:, :, rank], span), compression, frames=frames, anchor=anchor)  # noqa: B023
            for rank, anchor in zip(ranks, anchors)
        ]
        span = jax.tree.map(lambda *parts: jnp.stack(parts, axis=2), *pruned)
    return span


def rebase_frames(picks: Picks, chunk: jax.Array, layout: BankLayout, *, near_frames: int) -> jax.Array:
    """Return by how many frames each picked chunk moves, so that all lie right before the recent frames."""
    retrieval, frames = layout.retrieval, layout.spec.chunk_frames
    order = jnp.broadcast_to(jnp.arange(picks.chunks.shape[1], dtype=jnp.int32), picks.chunks.shape)
    if retrieval.rebase_order == "time":
        found = jnp.where(picks.chunks < 0, jnp.iinfo(jnp.int32).max, picks.chunks)
        order = jnp.argsort(jnp.argsort(found, axis=-1), axis=-1).astype(jnp.int32)
    recent_start = chunk * frames - near_frames
    shift = recent_start - (picks.count - order) * frames - picks.chunks * frames
    if retrieval.max_shift is not None:
        shift = jnp.clip(shift, -retrieval.max_shift, retrieval.max_shift)
    return shift


def _pad(span: KVSpan, tokens: int) -> KVSpan:
    """Append rows of zeros, as a released window in a short video needs: it is smaller than what is retrieved."""
    missing = tokens - span.keys.shape[2]
    if missing <= 0:
        return span
    return jax.tree.map(lambda a: jnp.pad(a, ((0, 0), (0, 0), (0, missing), (0, 0), (0, 0))), span)


def _flatten(span: KVSpan) -> KVSpan:
    return jax.tree.map(lambda a: a.reshape(*a.shape[:2], -1, *a.shape[4:]), span)
