"""Places on a server: how many sessions it holds, by number and by bytes, and who waits for one."""

import asyncio
import collections
import contextlib
import dataclasses
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

from worldkv_jax.play.metrics import Metrics


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """What a server admits."""

    sessions: int = 16
    """That are played, or just left, at once."""
    per_client: int = 16
    """Connections of one address."""
    waiting: int = 32
    """Connections that wait for a place."""
    worlds_bytes: int | None = None
    """Of all worlds at full length together; ``None`` for half of the memory that is free when the server starts."""
    leave_seconds: float = 60.0
    """After which a session that was left is dropped, and comes back from disk."""
    idle_seconds: float = 900.0
    """After which a session in which nothing is done is closed."""
    keep_days: float = 30.0
    """That a session is kept on disk since it was last played."""

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is not None and not value >= (0 if field.name == "waiting" else 1e-3):
                raise ValueError(f"{field.name}={value}: give a positive number")


class Full(Exception):
    """There is no place, and too many wait; the text says so."""


class Admission:
    """Gives places in the order in which they are asked for."""

    def __init__(
        self,
        limits: Limits,
        budget: int,
        metrics: Metrics,
        *,
        sizes: Callable[[], Mapping[str, int]],
        make_room: Callable[[], Awaitable[bool]],
    ):
        """Make places.

        Args:
            limits: how many.
            budget: bytes of all sessions together.
            metrics: counts who is turned away.
            sizes: tells the bytes of every session that is there.
            make_room: drops a session that nobody plays; tells whether there was one.
        """
        self._limits, self._budget, self._metrics = limits, budget, metrics
        self._sizes, self._make_room = sizes, make_room
        self._coming: dict[str, int] = {}
        self._queue: collections.deque[object] = collections.deque()
        self._changed = asyncio.Event()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._queue)

    def look_again(self) -> None:
        """Tell those who wait that something changed."""
        self._changed.set()

    def may_grow(self, name: str, size: int) -> bool:
        """Tell whether a session that is there may take so many bytes."""
        return sum(self._all().values()) - self._all().get(name, 0) + size <= self._budget

    @contextlib.asynccontextmanager
    async def place(
        self, name: str, size: int, *, tell: Callable[[int, int], Awaitable[None]], gone: asyncio.Event
    ) -> AsyncGenerator[None]:
        """Wait for a place, and hold it while the block opens the session.

        Args:
            name: of the session.
            size: its bytes.
            tell: is told the place in the queue and its length, where one has to wait.
            gone: is set when the client gives up.

        Raises:
            Full: too many wait, or it would not fit if it were alone.
        """
        if size > self._budget:
            raise Full("a session with these memories does not fit on this server; ask for one memory")
        if len(self._queue) >= self._limits.waiting and not (self._fits(size) and not self._queue):
            self._metrics.refused.labels("full").inc()
            raise Full(f"the server is full, and {len(self._queue)} wait already; try again later")
        ticket, said = object(), None
        self._queue.append(ticket)
        try:
            while not (self._queue[0] is ticket and (self._fits(size) or await self._room(size))):
                if gone.is_set():
                    raise Full("nobody waits any more")
                if (place := (self._queue.index(ticket) + 1, len(self._queue))) != said:
                    said = place
                    await tell(*place)
                self._changed.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), 1.0)
            self._coming[name] = size
        finally:
            self._queue.remove(ticket)
            self._changed.set()
        try:
            yield
        finally:
            del self._coming[name]
            self._changed.set()

    def _all(self) -> dict[str, int]:
        return {**self._coming, **self._sizes()}

    def _fits(self, size: int) -> bool:
        taken = self._all()
        return len(taken) < self._limits.sessions and sum(taken.values()) + size <= self._budget

    async def _room(self, size: int) -> bool:
        while not self._fits(size):
            if not await self._make_room():
                return False
        return True
