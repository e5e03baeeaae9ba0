"""The attention window: the first frames for ever, and a ring of the latest ones."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int32

from worldkv_jax.memory.in_place import overwrite
from worldkv_jax.memory.layout import WindowLayout
from worldkv_jax.memory.spans import KVSpan, concatenate


class Rows(NamedTuple):
    """What is known of tokens besides their keys and values; it is packed as those are."""

    chunks: Int32[Array, "1 B tokens 1 1"]  # ids, -1 where there is none
    frames: Int32[Array, "1 B tokens 1 1"]  # latent frames, -1 where not known


class Window(NamedTuple):
    """Keys and values of the sink and of the recent frames; frame ``f`` has a fixed place in one of them."""

    sink: KVSpan  # [L, B, sink_frames * S, N, H]
    ring: KVSpan  # [L, B, ring_frames * S, N, H], frame f at (f - sink_frames) % ring_frames
    drafts: Any = None  # what else is known of the frames that wait to be stored together, see `Drafts`


class WindowRows(NamedTuple):
    """Chunk and frame of each token of a window."""

    sink: Rows
    ring: Rows


def empty_window(layout: WindowLayout) -> Window:
    """Make a window that has seen nothing."""
    size = layout.spec.tokens_per_frame
    return Window(
        layout.spec.zeros(layout.worlds, layout.sink_frames * size),
        layout.spec.zeros(layout.worlds, layout.ring_frames * size),
    )


def push(window: Window, own: KVSpan, seen: jax.Array, layout: WindowLayout) -> Window:
    """Write a finished chunk over the frames that leave the window.

    Args:
        window: the window before the chunk.
        own: ``[L, B, T, N, H]`` of the chunk.
        seen: int32, frames that came before the chunk.
        layout: static sizes.
    """
    size, step = layout.spec.tokens_per_frame, layout.step_frames
    sink, ring, drafts = window
    # Ring slots, never a shifted buffer: XLA on CPU miscompiles an overlapping update of a buffer by itself.
    for offset in range(0, layout.spec.chunk_frames, step):
        part = jax.tree.map(lambda a: a[:, :, offset * size : (offset + step) * size], own)  # noqa: B023
        frame = seen + offset
        if layout.sink_frames:
            sink = _write(sink, part, frame * size, active=frame < layout.sink_frames)
        if layout.ring_frames and offset + layout.ring_frames >= layout.spec.chunk_frames:
            place = (frame - layout.sink_frames) % layout.ring_frames
            ring = _write(ring, part, place * size, active=frame >= layout.sink_frames)
    return Window(sink, ring, drafts)


def latest(ring: KVSpan | Rows, seen: jax.Array, frames: int, layout: WindowLayout) -> Any:
    """Take the latest ``frames`` frames of the ring, newest first in steps of ``layout.step_frames``."""
    size, step = layout.spec.tokens_per_frame, layout.step_frames
    if frames == layout.ring_frames:
        return ring  # whole: its order does not matter
    if not frames:
        return jax.tree.map(lambda a: a[:, :, :0], ring)
    starts = [(seen - layout.sink_frames - done - step) % layout.ring_frames for done in range(0, frames, step)]
    take = jax.lax.dynamic_slice_in_dim
    return concatenate(
        [jax.tree.map(lambda a: take(a, start * size, step * size, axis=2), ring) for start in starts]  # noqa: B023
    )


def in_order(ring: KVSpan | Rows, seen: jax.Array, layout: WindowLayout) -> Any:
    """Take the ring oldest first, without its last place: where frames are stored several as one.

    What is attended of it comes first, see `valid_tokens`: whole stored chunks, then the frames that wait.
    """
    size, step = layout.spec.tokens_per_frame, layout.draft_frames
    first = _first_draft(seen, layout)
    parts = [
        jax.tree.map(
            lambda a: jax.lax.dynamic_slice_in_dim(a, (first + done) % layout.ring_frames * size, step * size, axis=2),  # noqa: B023
            ring,
        )
        for done in range(0, layout.ring_frames, step)
    ]
    attended = (layout.attended_frames - layout.sink_frames) * size
    return jax.tree.map(lambda a: a[:, :, :attended], concatenate(parts))


def finished_draft(window: Window, seen: jax.Array, layout: WindowLayout) -> KVSpan:
    """Take the frames that are stored as one, after ``seen`` frames, which end with them."""
    size, step = layout.spec.tokens_per_frame, layout.draft_frames
    start = jnp.maximum(seen - step - layout.sink_frames, 0) % layout.ring_frames
    return jax.tree.map(lambda a: jax.lax.dynamic_slice_in_dim(a, start * size, step * size, axis=2), window.ring)


def window_rows(seen: jax.Array, layout: WindowLayout) -> WindowRows:
    """Name chunk and frame of each token of a window after ``seen`` frames.

    Also of what is older than what is attended to, where frames wait to be stored with others.
    """
    sink = jnp.arange(layout.sink_frames, dtype=jnp.int32)
    sink = jnp.where(sink < seen, sink, -1)
    rolled = seen - layout.sink_frames
    ago = (rolled - 1 - jnp.arange(layout.ring_frames, dtype=jnp.int32)) % max(layout.ring_frames, 1)
    ring = jnp.where(ago < rolled, seen - 1 - ago, -1)

    def rows(frames: jax.Array) -> Rows:
        tokens = jnp.repeat(frames, layout.spec.tokens_per_frame)[None, None, :, None, None]
        tokens = jnp.broadcast_to(tokens, (1, layout.worlds, *tokens.shape[2:]))
        return Rows(tokens // layout.spec.stored_frames, tokens)

    return WindowRows(rows(sink), rows(ring))


def waiting_frames(seen: jax.Array, layout: WindowLayout) -> jax.Array | int:
    """Count the frames that wait to be stored with others."""
    return (seen - layout.sink_frames) % layout.draft_frames if layout.draft_frames else 0


def valid_tokens(seen: jax.Array, layout: WindowLayout) -> tuple[jax.Array, jax.Array]:
    """Return how many tokens of the sink and of the ring are attended to after ``seen`` frames, int32."""
    size = layout.spec.tokens_per_frame
    held = layout.near_frames + layout.far_frames + waiting_frames(seen, layout)
    ring = jnp.clip(seen - layout.sink_frames, 0, held)
    return jnp.minimum(seen, layout.sink_frames) * size, ring * size


def _first_draft(seen: jax.Array, layout: WindowLayout) -> jax.Array:
    """Find the place in the ring of the oldest stored chunk's frames: the one after those that wait."""
    step = layout.draft_frames
    waiting = jnp.maximum(seen - layout.sink_frames, 0) // step
    rolled = waiting * step >= layout.near_frames
    return jnp.where(rolled, (waiting + 1) * step % layout.ring_frames, 0)


def _write(buffer: KVSpan, part: KVSpan, start: jax.Array, *, active: jax.Array) -> KVSpan:
    """Overwrite tokens from ``start`` on; where not ``active``, with themselves, so the update stays in place."""

    def write(buffer: jax.Array, part: jax.Array) -> jax.Array:
        zero = jnp.zeros_like(start)
        at = (zero, zero, jnp.where(active, start, zero), zero, zero)
        return overwrite(buffer, part.astype(buffer.dtype), at, active)

    return jax.tree.map(write, buffer, part)
