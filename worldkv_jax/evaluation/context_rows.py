"""Which chunk each row of a context comes from."""

import numpy as np

from worldkv_jax.memory import Picks
from worldkv_jax.memory.layout import Layout, WindowLayout


def row_chunks(layout: Layout, chunk: int, picks: Picks | None = None) -> np.ndarray:
    """Name the chunk of every row of the context that chunk number ``chunk`` recalls.

    Args:
        layout: of the memory.
        chunk: id of the chunk that recalls.
        picks: what it recalled; ``None`` for a memory without a bank.

    Returns:
        Chunk ids ``[B, W]``, int32; -1 for rows that are not valid.
    """
    size, per_chunk = layout.spec.tokens_per_frame, layout.spec.chunk_frames
    seen = chunk * per_chunk
    window = layout.window
    sink = [frame if frame < seen else -1 for frame in range(window.sink_frames)]
    ring = _ring_frames(window, seen)
    count = 0 if picks is None else int(picks.count)
    if count and window.far_frames:
        ring = sorted((frame for frame in ring if frame >= 0), reverse=True)[: window.near_frames]
    rows = [-1 if frame < 0 else frame // per_chunk for frame in [*sink, *ring] for _ in range(size)]
    rows = np.broadcast_to(np.array(rows, np.int32), (layout.worlds, len(rows)))
    if picks is not None and count and layout.bank is not None:
        chunks = np.where(np.arange(picks.chunks.shape[1]) < count, np.asarray(picks.chunks), -1)
        rows = np.concatenate([rows, np.repeat(chunks, layout.bank.kept_tokens, axis=1)], axis=1)
    missing = layout.context_tokens - rows.shape[1]
    return np.pad(rows, ((0, 0), (0, missing)), constant_values=-1).astype(np.int32)


def _ring_frames(window: WindowLayout, seen: int) -> list[int]:
    """Name the frame in each place of the ring after ``seen`` frames; -1 where there is none."""
    frames = [-1] * window.ring_frames
    for frame in range(max(window.sink_frames, seen - window.ring_frames), seen):
        frames[(frame - window.sink_frames) % window.ring_frames] = frame
    return frames
