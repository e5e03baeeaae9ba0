"""The lobby: who plays, who waits, and who may come back."""

import asyncio
import collections
import contextlib
import dataclasses
import logging
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from worldkv_jax.memory.layout import Layout
from worldkv_jax.memory.report import capacity_by_tier
from worldkv_jax.play.game import Game
from worldkv_jax.play.history import Tree
from worldkv_jax.play.metrics import Metrics
from worldkv_jax.play.outlet import GOING_AWAY, OK
from worldkv_jax.play.player import Player
from worldkv_jax.play.protocol import Refused
from worldkv_jax.play.seat import House, Seat
from worldkv_jax.play.store import Shelf
from worldkv_jax.play.turns import Turns
from worldkv_jax.play.warm_up import WARM, warm_up

_log = logging.getLogger(__name__)


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


class Full(Exception):
    """There is no place, and too many wait; the text says so."""


class Lobby:
    """All sessions of a server.

    Attributes:
        seats: sessions in memory, by name.
        metrics: what is counted.
    """

    def __init__(self, game: Game, limits: Limits, *, state: Path | None):
        self.game, self.limits, self.metrics = game, limits, Metrics()
        self.seats: dict[str, Seat] = {}
        self._shelf = None if state is None else Shelf(state, game)
        self._temporary = tempfile.TemporaryDirectory(prefix="worldkv-play-")
        self._house = House(
            turns=Turns(),
            encoders=ThreadPoolExecutor(2, thread_name_prefix="play-encode"),
            writer=ThreadPoolExecutor(1, thread_name_prefix="play-save"),
            metrics=self.metrics,
            recordings=Path(self._temporary.name),
            idle_seconds=limits.idle_seconds,
            fits=self._may_have,
            prepare=self.prepare,
        )
        self._budget = limits.worlds_bytes or game.free_bytes() // 2
        self._coming: dict[str, int] = {}
        self._warmer = ThreadPoolExecutor(1, thread_name_prefix="play-compile")
        self._warming: dict[str, asyncio.Future] = {}
        self._queue: collections.deque[asyncio.Event] = collections.deque()
        self._changed = asyncio.Event()
        self._keeper: asyncio.Task | None = None
        self.closing = False

    def open(self) -> None:
        """Begin to look after sessions that were left; what `warm_up` compiles for `WARM` is taken as compiled."""
        for memory in WARM:
            self._warming[memory] = asyncio.get_running_loop().create_future()
            self._warming[memory].set_result(None)
        self._keeper = asyncio.create_task(self._look_after())

    @contextlib.asynccontextmanager
    async def seat(
        self,
        *,
        seed: int,
        memories: tuple[str, ...],
        name: str | None = None,
        kept: bool = True,
        tell: Callable[[int, int], Awaitable[None]],
        gone: asyncio.Event,
    ) -> AsyncIterator[tuple[Seat, bool]]:
        """Offer a seat, and whether it is one that somebody comes back to; wait where there is none.

        Args:
            seed: of a new world.
            memories: of a new world.
            name: of a session to come back to.
            kept: whether the session stays when the block ends.
            tell: is told the place in the queue and its length.
            gone: is set when the client gives up.

        Raises:
            Full: too many wait.
            Refused: there is no session of this name, or it cannot be opened.
        """
        seat = self.seats.get(name) if name is not None else None
        resumed = name is not None
        if seat is None:
            name = name or secrets.token_urlsafe(24)
            await self._wait_for_room(name, memories, tell, gone)
            try:
                seat = await (self._come_back(name) if resumed else self._new(name, seed, memories, kept))
                self.seats[name] = seat
            finally:
                del self._coming[name]
                self._changed.set()
        elif seat.outlet is not None:
            await seat.outlet.error("this session was opened in another window, where it goes on")
            await seat.outlet.close(OK, "opened in another window", patience=2.0)
        try:
            async with seat.playing:
                if self.seats.get(seat.name) is not seat:
                    raise Refused("the session was just put away; come back to it once more")
                self._count()
                yield seat, resumed
        finally:
            seat.used = time.monotonic()
            self._count()
            self._changed.set()
            if not kept and self.seats.get(seat.name) is seat:
                await self._drop(seat)

    async def close(self) -> None:
        """Keep all sessions on disk, and end all threads."""
        self.closing = True
        if self._keeper is not None:
            self._keeper.cancel()
        for seat in list(self.seats.values()):
            if seat.outlet is not None:
                await seat.outlet.close(GOING_AWAY, "the server ends; come back when it is there again", patience=2.0)
            with contextlib.suppress(Exception):
                async with seat.playing:
                    await self._drop(seat)
        self._house.turns.close()
        for threads in (self._house.encoders, self._house.writer, self._warmer):
            threads.shutdown(cancel_futures=True)
        self._temporary.cleanup()

    async def prepare(self, memories: Iterable[str]) -> None:
        """Compile what memories need, beside the play of others; does nothing where that is done."""
        for memory in memories:
            if memory not in self._warming:
                loop = asyncio.get_running_loop()
                self._warming[memory] = loop.run_in_executor(self._warmer, warm_up, self.game, (memory,))
            await asyncio.shield(self._warming[memory])

    # ---- places ----

    def bytes_of(self, memories: tuple[str, ...]) -> int:
        """Count what a session needs at full length: its lanes, and its points."""
        total = 0
        for memory in memories:
            session = self.game.sessions[memory]
            layout = Layout(config=session.memory, spec=session.backbone.spec, worlds=1, chunks=self.game.rooms[memory])
            total += sum(capacity_by_tier(layout).values())
            total += self.game.plan(memory).point_bytes * self.game.most_points
        return total

    async def _wait_for_room(self, name: str, memories: tuple[str, ...], tell, gone: asyncio.Event) -> None:
        ticket = asyncio.Event()
        needed = self.bytes_of(memories)
        if needed > self._budget:
            raise Full("a session with these memories does not fit on this server; ask for one memory")
        if len(self._queue) >= self.limits.waiting:
            self.metrics.refused.labels("full").inc()
            raise Full(f"the server is full, and {len(self._queue)} wait already; try again later")
        self._queue.append(ticket)
        try:
            said = None
            while not (self._queue[0] is ticket and await self._make_room(needed)):
                if gone.is_set():
                    raise Full("nobody waits any more")
                place = self._queue.index(ticket) + 1
                if (place, len(self._queue)) != said:
                    said = place, len(self._queue)
                    await tell(*said)
                self._changed.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), 1.0)
            self._coming[name] = needed
        finally:
            self._queue.remove(ticket)
            self._changed.set()

    async def _make_room(self, needed: int) -> bool:
        """Drop sessions that were left, longest first, until there is a place; tell whether there is one."""
        while not self._fits(needed):
            left = [seat for seat in self.seats.values() if not seat.playing.locked()]
            if not left or self._shelf is None:
                return False
            await self._drop(min(left, key=lambda seat: seat.used))
        return True

    def _fits(self, needed: int) -> bool:
        here = len(self.seats) + len(self._coming)
        return here < self.limits.sessions and self._used() + needed <= self._budget

    def _used(self, *, without: str | None = None) -> int:
        seats = [seat for seat in self.seats.values() if seat.name != without]
        return sum(self.bytes_of(seat.player.tree.memories) for seat in seats) + sum(self._coming.values())

    def _may_have(self, name: str, memories: tuple[str, ...]) -> bool:
        return self._used(without=name) + self.bytes_of(memories) <= self._budget

    # ---- sessions ----

    async def _new(self, name: str, seed: int, memories: tuple[str, ...], kept: bool) -> Seat:
        await self.prepare(memories)
        tree = Tree(seed, memories)
        book = None
        if kept and self._shelf is not None:
            try:
                book = self._shelf.new(name, tree)
            except OSError:
                self.metrics.errors.labels("disk").inc()
        async with self._house.turns.turn(name) as turn:
            player = await turn.run(Player, self.game, tree)
        return Seat(name, player, self._house, book=book, shown={})

    async def _come_back(self, name: str) -> Seat:
        book = None if self._shelf is None else self._shelf.find(name)
        if book is None:
            raise Refused("there is no session of this name any more; begin a new one")
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._house.writer, book.read)
        except (OSError, ValueError) as error:
            _log.warning("a session cannot be opened: %s", error)
            raise Refused(f"{error}; begin a new one" if isinstance(error, ValueError) else "begin a new one") from None
        await self.prepare(found.tree.memories)
        async with self._house.turns.turn(name) as turn:
            player = await turn.run(Player, self.game, found.tree)
            if found.point is not None:
                try:
                    player.add_point(found.point[0], await turn.run(book.load_point, found.tree, found.point))
                except (OSError, ValueError, LookupError) as error:  # it is made again from what was done
                    _log.warning("a point cannot be read: %s", error)
        return Seat(name, player, self._house, book=book, shown=found.shown)

    async def _drop(self, seat: Seat) -> None:
        """Put a session away; it comes back from disk."""
        self.seats.pop(seat.name, None)
        try:
            await seat.close()
        finally:
            self._changed.set()
            self._count()

    async def _look_after(self) -> None:
        """Drop what was left for long, and forget what nobody came back to."""
        swept = -86400.0
        while True:
            if self._shelf is not None and time.monotonic() > swept + 86400:
                swept = time.monotonic()
                await asyncio.get_running_loop().run_in_executor(None, self._shelf.sweep, self.limits.keep_days)
            now = time.monotonic()
            for seat in list(self.seats.values()):
                if not seat.playing.locked() and now > seat.used + self.limits.leave_seconds:
                    try:
                        await self._drop(seat)
                    except Exception:
                        _log.exception("a session could not be put away")
            self._count()
            await asyncio.sleep(min(1.0, self.limits.leave_seconds))

    def _count(self) -> None:
        played = sum(seat.playing.locked() for seat in self.seats.values())
        self.metrics.sessions.labels("played").set(played)
        self.metrics.sessions.labels("left").set(len(self.seats) - played)
        self.metrics.sessions.labels("waiting").set(len(self._queue))
