"""Keeping one session: what is done is written as it happens, and now and then a point to go on from."""

import asyncio
import contextlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from worldkv_jax.play.metrics import Metrics
from worldkv_jax.play.player import Player
from worldkv_jax.play.store import Book, PointToKeep, Shown

SAVE_EVERY = 40
"""Chunks from one point on disk to the next."""


class Keeping:
    """Writes one session to its book, if it has one; without room on the disk the play goes on."""

    def __init__(self, book: Book | None, player: Player, writer: ThreadPoolExecutor, metrics: Metrics):
        self._book, self._player, self._writer, self._metrics = book, player, writer, metrics
        self._saving: asyncio.Future | None = None
        self._since_point = 0

    def write(self, change: Sequence[Any]) -> None:
        """Write what was done."""
        if self._book is not None:
            try:
                self._book.write(change)
            except OSError:  # what is kept stays as it is
                self._metrics.errors.labels("disk").inc()
                self._book = None

    def write_shown(self, mark: str, shown: Shown) -> None:
        """Write what is kept of a chunk."""
        if self._book is not None:
            with contextlib.suppress(OSError):
                self._book.write_shown(mark, shown)

    def chunk_made(self) -> None:
        """Write a point after so many chunks."""
        self._since_point += 1
        if self._since_point >= SAVE_EVERY:
            self._save_point()

    async def close(self) -> None:
        """Write the latest point, and wait until it is there."""
        for _ in range(2):  # what is being written may be of an earlier time
            if (saving := self._save_point()) is not None:
                await asyncio.wait([saving])
        if self._book is not None:
            self._book.close()

    def _save_point(self) -> asyncio.Future | None:
        """Begin to write the latest point, beside the play; return what is done when it is there."""
        if self._book is None or (self._saving is not None and not self._saving.done()):
            return self._saving
        if (found := self._player.latest_point()) is None:
            return None
        self._since_point = 0
        point = PointToKeep.of(self._player.tree, *found)
        self._saving = asyncio.get_running_loop().run_in_executor(self._writer, self._book.save_point, point)
        self._saving.add_done_callback(self._saved)
        return self._saving

    def _saved(self, future: asyncio.Future) -> None:
        if not future.cancelled() and future.exception() is not None:
            self._metrics.errors.labels("disk").inc()
