"""The context of one chunk: sink, recent frames and retrieved chunks, packed for attention."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from worldkv_jax.memory.bank import Fetched
from worldkv_jax.memory.compression import compress
from worldkv_jax.memory.index import Picks
from worldkv_jax.memory.layout import BankLayout, WindowLayout
from worldkv_jax.memory.quantization import dequantize
from worldkv_jax.memory.spans import KVSpan, concatenate
from worldkv_jax.memory.window import Rows, Window, in_order, latest, valid_tokens, waiting_frames, window_rows


class Context(NamedTuple):
    """The past that a chunk attends to, packed: the first ``length`` rows are valid, in any order."""

    span: KVSpan  # [L, B, W, N, H]
    length: jax.Array  # int32
    hides_own: jax.Array | None = None  # bool: the chunk must not attend to itself; released code, short videos
    chunks: jax.Array | None = None  # [B, W] int32, the chunk of each row as `Picks` names it, -1 where not valid
    frames: jax.Array | None = None  # [B, W] int32, the latent frame of each row when it was made, -1 where not known

    def __repr__(self) -> str:
        keys = self.span.keys
        length = "some" if not isinstance(self.length, jax.Array) or isinstance(self.length, Tracer) else self.length
        return f"Context({length} rows valid of keys and values {getattr(keys, 'dtype', '')}{list(jnp.shape(keys))})"


@functools.partial(jax.jit, static_argnames="layout", inline=True)
def window_alone(window: Window, chunk: jax.Array, layout: WindowLayout) -> Context:
    """Pack sink and recent frames, with nothing retrieved."""
    seen = chunk * layout.spec.chunk_frames
    length = sum(valid_tokens(seen, layout))
    parts = [window, window_rows(seen, layout)]
    if layout.draft_frames:
        parts = [part._replace(ring=in_order(part, seen, layout)) for part in parts]
    return _context(*(concatenate([part.sink, part.ring]) for part in parts), length)


@functools.partial(jax.jit, static_argnames=("window_layout", "bank_layout"), inline=True)
def assemble(
    window: Window, chunk: jax.Array, fetched: Fetched, *, window_layout: WindowLayout, bank_layout: BankLayout
) -> Context:
    """Pack sink, recent frames and retrieved chunks so that what is valid comes first.

    The sink fills before the ring, and chunks are only retrieved once their successors fill the ring, so
    the order sink, ring, retrieved needs no packing, but where frames wait to be stored with others.
    """
    seen = chunk * window_layout.spec.chunk_frames
    picks = fetched.picks
    retrieved = _flatten(_condition(fetched, chunk, bank_layout, window_layout))
    sink, ring = valid_tokens(seen, window_layout)
    found = picks.count * bank_layout.kept_tokens
    any_found = picks.count > 0
    length = sink + ring + found
    if window_layout.far_frames:
        near = sink + window_layout.near_frames * window_layout.spec.tokens_per_frame
        length = jnp.where(any_found, near + found, sink + ring)
    pack = functools.partial(_pack, seen=seen, any_found=any_found, layout=window_layout)
    rows = pack(window_rows(seen, window_layout), picked_rows(picks, bank_layout))
    context = _context(pack(window, retrieved), rows, length)
    return context._replace(hides_own=any_found if window_layout.hides_own else None)


def picked_rows(picks: Picks, layout: BankLayout) -> Rows:
    """Name chunk and frame of each token of retrieved chunks.

    Which frame is known where the order of the frames is: not of tokens that were chosen from all frames together.
    """
    ranks, frames = picks.chunks.shape[1], layout.spec.stored_frames
    size, kept, compression = layout.spec.tokens_per_frame, layout.kept_tokens, layout.compression
    offsets = np.full((ranks, kept), -1, np.int32)
    for rank in range(ranks):
        anchor = rank % frames if compression.rotate_anchor else 0
        if kept == layout.chunk_tokens:
            offsets[rank] = np.arange(kept) // size
        elif compression.rule is None and compression.pooled:
            offsets[rank, :size] = anchor
        elif compression.rule is None:
            others = (kept - size) // (frames - 1)
            offsets[rank] = np.repeat(np.arange(frames), [size if f == anchor else others for f in range(frames)])
    chunks = jnp.repeat(picks.chunks, kept, axis=1)[None]
    offsets = offsets.reshape(1, 1, -1)
    return Rows(chunks, jnp.where(offsets < 0, -1, chunks * frames + offsets))


def _context(span: KVSpan, rows: Rows, length: jax.Array) -> Context:
    valid = jnp.arange(span.keys.shape[2], dtype=jnp.int32) < length
    chunks, frames = (jnp.where(valid[None], known[0], -1) for known in rows)
    return Context(span, length, chunks=chunks, frames=frames)


def _pack(window: Window, retrieved: Any, *, seen: jax.Array, any_found: jax.Array, layout: WindowLayout) -> Any:
    """Put window and retrieved tokens one after the other; of keys and values, or of what is known of each token."""
    if layout.draft_frames:
        held = layout.near_frames + layout.sink_frames + waiting_frames(seen, layout)
        start = held * layout.spec.tokens_per_frame
        packed = concatenate([window.sink, in_order(window, seen, layout), retrieved])
        write = functools.partial(jax.lax.dynamic_update_slice_in_dim, start_index=start, axis=2)
        return jax.tree.map(write, packed, retrieved)
    near_and_retrieved = concatenate([latest(window, seen, layout.near_frames, layout), retrieved])
    if not layout.far_frames:
        return concatenate([window.sink, near_and_retrieved])
    # Chosen row by row, which XLA fuses into one write: a `cond` would first make both contexts, then copy one.
    rows = jax.tree.leaves(near_and_retrieved)[0].shape[2]
    unused = jax.tree.map(lambda a: a[:, :, rows:], window.ring)
    before, after = _pad(window.ring, rows), concatenate([near_and_retrieved, unused])
    chosen = jax.tree.map(lambda new, old: jnp.where(any_found, new, old), after, before)
    return concatenate([window.sink, chosen])


def _condition(fetched: Fetched, chunk: jax.Array, layout: BankLayout, window: WindowLayout) -> KVSpan:
    """Dequantize retrieved chunks ``[L, B, K, P, N, H]``; re-base and prune them where the configuration says so."""
    compression, frames = layout.compression, layout.spec.stored_frames
    span = dequantize(fetched.joined(layout.worlds), layout.spec.dtype)
    rope = layout.spec.rope if layout.rebases else None
    if rope is not None:
        shift = rebase_frames(fetched.picks, chunk, layout, window)
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


def rebase_frames(picks: Picks, chunk: jax.Array, layout: BankLayout, window: WindowLayout) -> jax.Array:
    """Return by how many frames each picked chunk moves, so that all lie right before the recent frames."""
    retrieval, frames = layout.retrieval, layout.spec.stored_frames
    order = jnp.broadcast_to(jnp.arange(picks.chunks.shape[1], dtype=jnp.int32), picks.chunks.shape)
    if retrieval.rebase_order == "time":
        found = jnp.where(picks.chunks < 0, jnp.iinfo(jnp.int32).max, picks.chunks)
        order = jnp.argsort(jnp.argsort(found, axis=-1), axis=-1).astype(jnp.int32)
    seen = chunk * layout.spec.chunk_frames
    recent_start = seen - window.near_frames - waiting_frames(seen, window)
    shift = recent_start - (picks.count - order) * frames - picks.chunks * frames
    if retrieval.max_shift is not None:
        shift = jnp.clip(shift, -retrieval.max_shift, retrieval.max_shift)
    return shift


def _pad(tree: Any, tokens: int) -> Any:
    """Append rows of zeros, as a released window in a short video needs: it is smaller than what is retrieved."""

    def pad(a):
        missing = max(0, tokens - a.shape[2])
        return jnp.pad(a, [(0, missing if axis == 2 else 0) for axis in range(a.ndim)]) if missing else a

    return jax.tree.map(pad, tree)


def _flatten(span: KVSpan) -> KVSpan:
    return jax.tree.map(lambda a: a.reshape(*a.shape[:2], -1, *a.shape[4:]), span)
