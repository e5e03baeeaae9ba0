"""A seat: one session at play, its world, its keyboard, and whoever looks on."""

import asyncio
import collections
import contextlib
import dataclasses
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from worldkv_jax.play import frames as pictures
from worldkv_jax.play import messages
from worldkv_jax.play.keyboard import Keyboard
from worldkv_jax.play.outlet import OK, Outlet
from worldkv_jax.play.pacing import Pace
from worldkv_jax.play.player import PlayedChunk, Player
from worldkv_jax.play.protocol import Event, Init, Refused
from worldkv_jax.play.turns import Turns

MOST_WAITING_EVENTS = 64
KEYS = ("camera_actions", "look")


@dataclasses.dataclass
class Shown:
    """What is kept of a chunk to look back at."""

    camera: list[float]
    thumbnail: bytes
    latents: str


class Seat:
    """One session at play.

    Its task makes chunks while somebody is there and there is something to do. What changes the world waits for the end
    of a chunk; keys are taken as late as they can be.
    """

    def __init__(
        self,
        name: str,
        player: Player,
        turns: Turns,
        encoders: ThreadPoolExecutor,
        *,
        idle_seconds: float,
    ):
        self.name, self.player = name, player
        self.keyboard = Keyboard(player.game.steering.keys, player.game.steering.aliases, player.game.steering.fps)
        self.shown: dict[str, Shown] = {}
        self.last_used = time.monotonic()
        self._turns, self._encoders, self._idle_seconds = turns, encoders, idle_seconds
        self._wake = asyncio.Event()
        self._events: collections.deque[Event] = collections.deque()
        self._key_events: list[int] = []
        self._last_event = 0
        self._replaying: Iterator[PlayedChunk] | None = None
        self._watching: collections.deque[tuple[str, ...]] = collections.deque()

    # ---- what clients do ----

    def take(self, event: Event) -> None:
        """Take an event.

        Raises:
            Refused: it cannot be done, or too many wait.
        """
        self.last_used = time.monotonic()
        if event.kind == "heartbeat":
            return
        self._watching.clear()
        if event.kind in KEYS:
            self._take_keys(event)
        elif len(self._events) >= MOST_WAITING_EVENTS:
            raise Refused(f"{MOST_WAITING_EVENTS} events wait already; send fewer, and wait for their receipts")
        else:
            self._events.append(event)
        self._wake.set()

    def _take_keys(self, event: Event) -> None:
        try:
            if event.kind == "look":
                self.keyboard.turn(*event.payload)
            elif isinstance(event.payload, list):
                transitions = [dataclasses.replace(one, keys=self.keyboard.named(one.keys)) for one in event.payload]
                self.keyboard.hold(transitions)
            else:
                self.keyboard.follow(event.payload)
        except ValueError as error:
            raise Refused(str(error)) from None
        self._key_events.append(event.number)
        del self._key_events[:-MOST_WAITING_EVENTS]

    # ---- the play ----

    async def play(self, init: Init, outlet: Outlet) -> None:
        """Play until the client is gone, has had all its chunks, or does nothing for long."""
        pace = Pace(init.fps or self.player.game.steering.fps, paced=init.paced)
        view = messages.View(init, self.player, outlet)
        if init.extension is not None and init.extension.watch and not len(self.player.tree.history):
            self._watching = collections.deque(
                tuple(keys) for keys, count in self.player.game.steering.tour for _ in range(count)
            )
        if init.actions:
            self._take_keys(Event(kind="camera_actions", payload=init.actions, number=0))
        goes_on = init.extension is None or init.extension.idle == "go_on"
        # Somebody who comes back sees where he was; who comes first, where he is.
        again = self.player.make_current() if len(self.player.tree.history) else None
        made, first = 0, again is None
        while not outlet.gone.is_set():
            if again is None:
                again = await self._change(view)
            if again is not None:
                await self._show_again(again, view, pace)
                again, first = None, not len(self.player.tree.history)
                continue
            if init.max_chunks is not None and made >= init.max_chunks:
                await outlet.close(OK, "generation complete")
                return
            if (full := self.player.full) is not None:
                await view.status(full)
            if full is None and (first or goes_on or self._watching or not self.keyboard.idle):
                await self._next_chunk(view, pace)
                made, first = made + 1, False
                continue
            if not await self._something_to_do(outlet):
                await outlet.close(OK, "idle")
                return

    async def _something_to_do(self, outlet: Outlet) -> bool:
        """Wait for an event; tell whether one came before the session was idle for too long."""
        self._wake.clear()
        if self._events or outlet.gone.is_set():
            return True
        waits = [asyncio.ensure_future(self._wake.wait()), asyncio.ensure_future(outlet.gone.wait())]
        left = self.last_used + self._idle_seconds - time.monotonic()
        _, pending = await asyncio.wait(waits, timeout=max(0.0, left), return_when=asyncio.FIRST_COMPLETED)
        for one in pending:
            one.cancel()
        return len(pending) < len(waits) or time.monotonic() < self.last_used + self._idle_seconds

    async def _next_chunk(self, view: "messages.View", pace: Pace) -> None:
        await self._nap(pace.wait())
        if self._events:
            return
        asked = time.monotonic()
        async with self._turns.turn(self.name) as turn:
            begun = time.monotonic()
            controls = self._controls()
            applied, self._key_events = self._key_events, []
            chunk = await turn.run(self.player.step, controls)
        self._last_event = applied[-1] if applied else self._last_event
        await self._show(chunk, view, applied, queued=begun - asked)
        pace.sent(len(chunk.controls.frames), asked)

    async def _nap(self, seconds: float) -> None:
        """Sleep, unless something comes that changes the world."""
        until = time.monotonic() + seconds
        while not self._events and (left := until - time.monotonic()) > 0:
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), left)

    def _controls(self):
        count = self.player.frames_of_next()
        if self._watching:
            rows = [self._watching.popleft() if self._watching else () for _ in range(count)]
            self.keyboard.follow(rows)
        return self.keyboard.sample(count)

    async def _change(self, view: "messages.View") -> Iterator[PlayedChunk] | None:
        """Apply what waits; return how to make the present again where it changed."""
        changed = None
        while self._events and changed is None:
            event = self._events.popleft()
            try:
                changed = await self._apply(event, view)
            except ValueError as error:
                await view.receipt(event.number, "refused", content=str(error))
                continue
            await view.receipt(event.number, "applied", chunk=self.player.position)
            self._last_event = event.number
        return changed

    async def _apply(self, event: Event, view: "messages.View") -> Iterator[PlayedChunk] | None:
        tree, first = self.player.tree, self.player.first
        match event.kind:
            case "fork":
                tree.fork(None if event.payload is None else event.payload - first)
            case "switch":
                tree.switch(event.payload)
            case "rewind":
                tree.rewind(event.payload - first)
            case "reset":
                async with self._turns.turn(self.name) as turn:
                    await turn.run(self.player.reset, tree.seed if event.payload is None else event.payload)
            case "memory":
                messages.check_memories(self.player.game, event.payload)
                tree.remember_with(event.payload)
            case _:
                raise ValueError(f"{event.kind} is not offered by this model")
        self.keyboard.release()
        return self.player.make_current()

    async def _show_again(self, chunks: Iterator[PlayedChunk], view: "messages.View", pace: Pace) -> None:
        """Make the present again, a chunk a turn, and show the last of what is made."""
        last = None
        while True:
            async with self._turns.turn(self.name) as turn:
                chunk = await turn.run(next, chunks, None)
            if chunk is None:
                break
            last = chunk
        await view.timeline(self)
        if last is not None:
            await self._show(last, view, [], queued=0.0)
            pace.sent(len(last.controls.frames), time.monotonic())

    async def _show(self, chunk: PlayedChunk, view: "messages.View", applied: list[int], *, queued: float) -> None:
        loop = asyncio.get_running_loop()
        since = loop.time()
        encoded = [
            await loop.run_in_executor(self._encoders, pictures.encode, lane.frames, view.form, view.quality)
            for lane in chunk.lanes
        ]
        small = await loop.run_in_executor(self._encoders, pictures.thumbnail, chunk.lanes[0].frames)
        shown = Shown(messages.camera_of(chunk.stance), small, chunk.lanes[0].latents)
        self.shown[chunk.mark] = shown
        encode_ms = round(1000 * (loop.time() - since))
        await view.chunk(chunk, encoded, shown, applied, self._last_event, queued=queued, encode_ms=encode_ms)
        self.last_used = time.monotonic() if not chunk.controls.idle else self.last_used
