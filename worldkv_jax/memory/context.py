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
from worldkv_jax.memory.quantization import dequantize
from worldkv_jax.memory.spans import KVSpan, concatenate
from worldkv_jax.memory.window import Window, latest, valid_tokens


class Context(NamedTuple):
    """The past that a chunk attends to, packed: the first ``length`` rows are valid, in any order."""

    span: KVSpan  # [L, B, W, N, H]
    length: jax.Array  # int32
    hides_own: jax.Array | None = None  # bool: the chunk must not attend to itself; released code, short videos

    def __repr__(self) -> str:
        keys = self.span.keys
        length = "some" if not isinstance(self.length, jax.Array) or isinstance(self.length, Tracer) else self.length
        return f"Context({length} rows valid of keys and values {getattr(keys, 'dtype', '')}{list(jnp.shape(keys))})"


@functools.partial(jax.jit, static_argnames="layout", inline=True)
def window_alone(window: Window, chunk: jax.Array, layout: WindowLayout) -> Context:
    """Pack sink and recent frames, with nothing retrieved."""
    sink, ring = valid_tokens(chunk * layout.spec.chunk_frames, layout)
    window = move_sink(window, chunk, layout)
    return Context(concatenate([window.sink, window.ring]), sink + ring)


@functools.partial(jax.jit, static_argnames=("window_layout", "bank_layout"), inline=True)
def assemble(
    window: Window, chunk: jax.Array, fetched: Fetched, *, window_layout: WindowLayout, bank_layout: BankLayout
) -> Context:
    """Pack sink, recent frames and retrieved chunks so that what is valid comes first.

    The sink fills before the ring, and chunks are only retrieved once their successors fill the ring, so
    the order sink, ring, retrieved needs no packing.
    """
    size, near_frames = window_layout.spec.tokens_per_frame, window_layout.near_frames
    seen = chunk * window_layout.spec.chunk_frames
    sink, ring = valid_tokens(seen, window_layout)
    window = move_sink(window, chunk, window_layout)
    retrieved = _flatten(_condition(fetched, chunk, bank_layout, near_frames=near_frames))
    found = fetched.picks.count * bank_layout.kept_tokens
    recent = latest(window, seen, near_frames, window_layout)
    if not window_layout.far_frames:
        return Context(concatenate([window.sink, recent, retrieved]), sink + ring + found)
    # Chosen row by row, which XLA fuses into one write: a `cond` would first make both contexts, then copy one.
    any_found = fetched.picks.count > 0
    near_and_retrieved = concatenate([recent, retrieved])
    rows = near_and_retrieved.keys.shape[2]
    unused = jax.tree.map(lambda a: a[:, :, rows:], window.ring)
    before, after = _pad(window.ring, rows), concatenate([near_and_retrieved, unused])
    chosen = jax.tree.map(lambda new, old: jnp.where(any_found, new, old), after, before)
    length = jnp.where(any_found, sink + near_frames * size + found, sink + ring)
    return Context(concatenate([window.sink, chosen]), length, any_found if window_layout.hides_own else None)


def move_sink(window: Window, chunk: jax.Array, layout: WindowLayout) -> Window:
    """Turn the sink's keys to lie right before the rest of the past, once they would lie farther back."""
    if layout.sink_reach is None or layout.spec.rope is None:
        return window
    shift = jnp.maximum(0, chunk * layout.spec.chunk_frames - layout.sink_reach)
    return window._replace(sink=window.sink._replace(keys=layout.spec.rope.shift_time(window.sink.keys, shift)))


def _condition(fetched: Fetched, chunk: jax.Array, layout: BankLayout, *, near_frames: int) -> KVSpan:
    """Dequantize retrieved chunks ``[L, B, K, P, N, H]``; re-base and prune them where the configuration says so."""
    compression, frames = layout.compression, layout.spec.chunk_frames
    span = dequantize(fetched.joined(layout.worlds), layout.spec.dtype)
    rope = layout.spec.rope if layout.rebases else None
    if rope is not None:
        shift = rebase_frames(fetched.picks, chunk, layout, near_frames=near_frames)
        span = span._replace(keys=rope.shift_time(span.keys, shift[None, :, :, None]))
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
