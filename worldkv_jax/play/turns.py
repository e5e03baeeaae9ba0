"""Turns: sessions share one model, a chunk at a time; whoever had the least of it so far comes next."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


class Turns:
    """One compute thread, and who may use it next."""

    def __init__(self):
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="play-compute")
        self._used: dict[Any, float] = {}
        self._waiting: dict[Any, asyncio.Future] = {}
        self._busy = False

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    @contextlib.asynccontextmanager
    async def turn(self, who: Any, *, share: float = 1.0) -> AsyncGenerator["Turn"]:
        """Wait for a turn, and have it while the block runs; each ``who`` asks for one at a time.

        Newcomers and those who come back begin as if they had as much as the one who had least: nobody saves up turns.

        Args:
            who: has it.
            share: what it counts, such as the lanes of the chunk that is made. Not seconds: on a busy machine they say
                more about others than about the one whose turn it was.
        """
        if self._busy:
            floor = min((self._used[one] for one in self._waiting), default=self._used.get(who, 0.0))
            self._used[who] = max(self._used.get(who, 0.0), floor)
            self._waiting[who] = asyncio.get_running_loop().create_future()
            try:
                await self._waiting[who]
            except asyncio.CancelledError:
                if self._waiting.pop(who, None) is None:  # it was given to us already
                    self._next()
                raise
        self._busy = True
        try:
            yield Turn(self._thread)
        finally:
            self._used[who] = self._used.get(who, 0.0) + share
            self._next()

    def forget(self, who: Any) -> None:
        """Forget somebody who is gone."""
        self._used.pop(who, None)

    def close(self) -> None:
        """Wait for what runs, and end the thread."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _next(self) -> None:
        if not self._waiting:
            self._busy = False
            return
        who = min(self._waiting, key=lambda one: self._used[one])
        self._waiting.pop(who).set_result(None)


class Turn:
    """A turn that one has."""

    def __init__(self, thread: ThreadPoolExecutor):
        self._thread = thread

    async def run(self, work: Callable[..., T], *given: Any) -> T:
        """Run a function in the compute thread; waits for its end even if the caller is cancelled meanwhile."""
        future = asyncio.get_running_loop().run_in_executor(self._thread, work, *given)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])
            raise
