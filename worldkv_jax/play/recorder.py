"""Recordings: the frames of a session become an mp4 beside the play."""

import contextlib
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from worldkv_jax.media import writing_video

MOST_FRAMES = 50_000
"""A longer recording ends by itself."""
_GAP = 2


class Recorder:
    """Writes one video, in a thread of its own.

    Attributes:
        frames: how many it was given.
        path: where the video is, once it has ended.
    """

    def __init__(self, path: Path, *, fps: float, scale: int):
        self.frames, self.path = 0, path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="play-record")
        self._files = contextlib.ExitStack()
        self._begun = self._thread.submit(
            lambda: self._files.enter_context(writing_video(path, fps=fps, scale=scale, keep_cut=True))
        )
        self._latest: Future | None = None

    @property
    def full(self) -> bool:
        """Whether it has as many frames as a recording may have."""
        return self.frames >= MOST_FRAMES

    def add(self, lanes: list[np.ndarray]) -> None:
        """Add the frames of a chunk, ``[n, height, width, 3]`` of each lane, side by side."""
        gap = np.zeros((*lanes[0].shape[:2], _GAP, 3), np.float32)
        parts = [part for lane in lanes for part in (gap, lane)][1:]
        wide = np.clip(np.concatenate(parts, axis=2), 0, 1)
        self.frames += len(wide)
        self._latest = self._thread.submit(lambda: self._begun.result()(wide))

    def end(self) -> Future:
        """End the recording; the future is done when the file is there, and raises what went wrong."""
        ended = self._thread.submit(self._close)
        self._thread.shutdown(wait=False)
        return ended

    def _close(self) -> Path:
        with self._files:
            self._begun.result()
            if self._latest is not None:
                self._latest.result()
        return self.path
