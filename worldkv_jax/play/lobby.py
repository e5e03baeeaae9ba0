"""The lobby: who plays, who waits, and who may come back."""

import asyncio
import contextlib
import logging
import secrets
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from worldkv_jax.memory.layout import Layout
from worldkv_jax.memory.report import capacity_by_tier
from worldkv_jax.play.admission import Admission, Full, Limits
from worldkv_jax.play.game import Game
from worldkv_jax.play.history import Tree
from worldkv_jax.play.metrics import Metrics
from worldkv_jax.play.outlet import GOING_AWAY, OK
from worldkv_jax.play.player import Player
from worldkv_jax.play.protocol import Refused
from worldkv_jax.play.seat import House, Seat
from worldkv_jax.play.store import Shelf
from worldkv_jax.play.turns import Turns
from worldkv_jax.play.uploads import checksum, decode_picture
from worldkv_jax.play.warm_up import WARM, warm_up

_log = logging.getLogger(__name__)


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
        budget = limits.worlds_bytes or game.free_bytes() // 2
        self._admission = Admission(limits, budget, self.metrics, sizes=self._sizes, make_room=self._drop_one)
        self._moving: dict[str, asyncio.Future] = {}
        self._warmer = ThreadPoolExecutor(1, thread_name_prefix="play-compile")
        self._warming: dict[str, asyncio.Future] = {}
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
        picture: bytes | None = None,
        name: str | None = None,
        kept: bool = True,
        tell: Callable[[int, int], Awaitable[None]],
        gone: asyncio.Event,
    ) -> AsyncGenerator[tuple[Seat, bool]]:
        """Offer a seat, and whether it is one that somebody comes back to; wait where there is none.

        Args:
            seed: of a new world.
            memories: of a new world.
            picture: that a new world begins with.
            name: of a session to come back to.
            kept: whether the session stays when the block ends.
            tell: is told the place in the queue and its length.
            gone: is set when the client gives up.

        Raises:
            Full: too many wait, or the server ends.
            Refused: there is no session of this name, or it cannot be opened.
        """
        resumed = name is not None
        name = name or secrets.token_urlsafe(24)
        while True:
            while name in self._moving:
                await asyncio.shield(self._moving[name])
            if self.closing:
                raise Full("the server ends; come back when it is there again")
            seat = self.seats.get(name)
            if seat is None:
                async with (
                    self._moving_alone(name),
                    self._admission.place(name, self.bytes_of(memories), tell=tell, gone=gone),
                ):
                    seat = await (self._come_back(name) if resumed else self._new(name, seed, memories, picture, kept))
                    self.seats[name] = seat
            elif seat.outlet is not None:
                await seat.outlet.error("this session was opened in another window, where it goes on")
                await seat.outlet.close(OK, "opened in another window", patience=2.0)
            try:
                async with seat.playing:
                    if self.seats.get(name) is seat and not self.closing:
                        self._count()
                        yield seat, resumed
                        return
            finally:
                seat.inbox.used = time.monotonic()
                self._count()
                self._admission.look_again()
                if not kept and self.seats.get(name) is seat:
                    await self._drop(seat)
            # It was put away while it was waited for: it is opened again.

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

    def _sizes(self) -> dict[str, int]:
        return {name: self.bytes_of(seat.player.tree.memories) for name, seat in self.seats.items()}

    def _may_have(self, name: str, memories: tuple[str, ...]) -> bool:
        return self._admission.may_grow(name, self.bytes_of(memories))

    async def _drop_one(self) -> bool:
        """Drop the session that was left longest ago; tell whether there was one that can come back."""
        left = [seat for seat in self.seats.values() if not seat.playing.locked()]
        if not left or self._shelf is None:
            return False
        await self._drop(min(left, key=lambda seat: seat.inbox.used))
        return True

    # ---- sessions ----

    async def _new(self, name: str, seed: int, memories: tuple[str, ...], picture: bytes | None, kept: bool) -> Seat:
        await self.prepare(memories)
        pixels = await self._decoded(picture)
        tree = Tree(seed, memories, None if picture is None else checksum(picture))
        book = None
        if kept and self._shelf is not None:
            try:
                book = self._shelf.new(name, tree, picture)
            except OSError:
                self.metrics.errors.labels("disk").inc()
        async with self._house.turns.turn(name) as turn:
            player = await turn.run(Player, self.game, tree, pixels)
        return Seat(name, player, self._house, book=book, shown={})

    async def _decoded(self, picture: bytes | None) -> np.ndarray | None:
        if picture is None:
            return None
        if not self.game.steering.takes_picture:
            raise Refused(f"{self.game.default.model} begins with no picture; leave first_frame out")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._house.encoders, decode_picture, picture)
        except ValueError as error:
            raise Refused(str(error)) from None

    async def _come_back(self, name: str) -> Seat:
        book = None if self._shelf is None else self._shelf.find(name)
        if book is None:
            raise Refused("there is no session of this name any more; begin a new one")
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._house.writer, book.read)
        except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
            _log.warning("a session cannot be opened: %s", error)
            raise Refused(f"{error}; begin a new one" if isinstance(error, ValueError) else "begin a new one") from None
        await self.prepare(found.tree.memories)
        picture = await self._decoded(found.picture)
        async with self._house.turns.turn(name) as turn:
            player = await turn.run(Player, self.game, found.tree, picture)
            if found.point is not None:
                try:
                    player.add_point(found.point[0], await turn.run(book.load_point, player, found.point))
                except (OSError, ValueError, LookupError) as error:  # it is made again from what was done
                    _log.warning("a point cannot be read: %s", error)
        return Seat(name, player, self._house, book=book, shown=found.shown)

    async def _drop(self, seat: Seat) -> None:
        """Put a session away; it comes back from disk, once it is there."""
        self.seats.pop(seat.name, None)
        try:
            async with self._moving_alone(seat.name):
                await seat.close()
        finally:
            self._admission.look_again()
            self._count()

    @contextlib.asynccontextmanager
    async def _moving_alone(self, name: str) -> AsyncGenerator[None]:
        """Let whoever asks for a session wait while it is opened or put away."""
        self._moving[name] = asyncio.get_running_loop().create_future()
        try:
            yield
        finally:
            self._moving.pop(name).set_result(None)

    async def _look_after(self) -> None:
        """Drop what was left for long, and forget what nobody came back to."""
        swept = -86400.0
        while True:
            if self._shelf is not None and time.monotonic() > swept + 86400:
                swept = time.monotonic()
                await asyncio.get_running_loop().run_in_executor(None, self._shelf.sweep, self.limits.keep_days)
            now = time.monotonic()
            for seat in list(self.seats.values()):
                if not seat.playing.locked() and now > seat.inbox.used + self.limits.leave_seconds:
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
        self.metrics.sessions.labels("waiting").set(self._admission.waiting)
