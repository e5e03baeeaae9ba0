"""The attention window: the first frames for ever, and a ring of the latest ones."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from worldkv_jax.memory.in_place import overwrite
from worldkv_jax.memory.layout import WindowLayout
from worldkv_jax.memory.spans import KVSpan, concatenate


class Window(NamedTuple):
    """Keys and values of the sink and of the recent frames; frame ``f`` has a fixed place in one of them."""

    sink: KVSpan  # [L, B, sink_frames * S, N, H]
    ring: KVSpan  # [L, B, ring_frames * S, N, H], frame f at (f - sink_frames) % ring_frames


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
    sink, ring = window
    # Ring slots, never a shifted buffer: XLA on CPU miscompiles an overlapping update of a buffer by itself.
    for offset in range(0, layout.spec.chunk_frames, step):
        part = jax.tree.map(lambda a: a[:, :, offset * size : (offset + step) * size], own)  # noqa: B023
        frame = seen + offset
        if layout.sink_frames:
            sink = _write(sink, part, frame * size, active=frame < layout.sink_frames)
        if layout.ring_frames and offset + layout.ring_frames >= layout.spec.chunk_frames:
            place = (frame - layout.sink_frames) % layout.ring_frames
            ring = _write(ring, part, place * size, active=frame >= layout.sink_frames)
    return Window(sink, ring)


def latest(ring: KVSpan, seen: jax.Array, frames: int, layout: WindowLayout) -> KVSpan:
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


def valid_tokens(seen: jax.Array, layout: WindowLayout) -> tuple[jax.Array, jax.Array]:
    """Return how many tokens of the sink and of the ring are filled after ``seen`` frames, int32."""
    sink = jnp.minimum(seen, layout.sink_frames)
    ring = jnp.clip(seen - layout.sink_frames, 0, layout.ring_frames)
    return sink * layout.spec.tokens_per_frame, ring * layout.spec.tokens_per_frame


def _write(buffer: KVSpan, part: KVSpan, start: jax.Array, *, active: jax.Array) -> KVSpan:
    """Overwrite tokens from ``start`` on; where not ``active``, with themselves, so the update stays in place."""

    def write(buffer, part):
        zero = jnp.zeros_like(start)
        at = (zero, zero, jnp.where(active, start, zero), zero, zero)
        return overwrite(buffer, part.astype(buffer.dtype), at, active)

    return jax.tree.map(write, buffer, part)
