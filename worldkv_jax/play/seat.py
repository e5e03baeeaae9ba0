"""A seat: one session at play, its world, its keyboard, and what is kept of it."""

import asyncio
import collections
import contextlib
import dataclasses
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from worldkv_jax.play import frames as pictures
from worldkv_jax.play import messages, session_file
from worldkv_jax.play.keyboard import Keyboard
from worldkv_jax.play.metrics import Metrics
from worldkv_jax.play.outlet import OK, Outlet
from worldkv_jax.play.pacing import Pace
from worldkv_jax.play.player import PlayedChunk, Player
from worldkv_jax.play.protocol import Event, Init, Refused
from worldkv_jax.play.recorder import Recorder
from worldkv_jax.play.store import Book, Shown
from worldkv_jax.play.turns import Turns
from worldkv_jax.sessions.steering import Controls

MOST_WAITING_EVENTS = 64
SAVE_EVERY = 40
"""Chunks from one point on disk to the next."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class House:
    """What all seats share."""

    turns: Turns
    encoders: ThreadPoolExecutor
    writer: ThreadPoolExecutor
    metrics: Metrics
    recordings: Path
    idle_seconds: float
    fits: Callable[[str, tuple[str, ...]], bool]
    """Tells whether a session may have other memories."""
    prepare: Callable[[tuple[str, ...]], Awaitable[None]]
    """Compiles what memories need."""


class Seat:
    """One session at play.

    While somebody is there and there is something to do it makes chunks. What changes the world waits for the end of a
    chunk; keys are taken as late as they can be.

    Attributes:
        name: the session's, which whoever knows it may come back to.
        shown: what is kept of each chunk, by its mark.
        used: when somebody last did something, of `time.monotonic`.
        outlet: of whoever is there.
        watching: whether the tour of the model is walked.
    """

    def __init__(self, name: str, player: Player, house: House, *, book: Book | None, shown: dict[str, Shown]):
        steering = player.game.steering
        self.name, self.player, self.shown = name, player, shown
        self.used = time.monotonic()
        self.outlet: Outlet | None = None
        self.playing = asyncio.Lock()
        self.recorder: Recorder | None = None
        self.recording: Path | None = None
        self._house, self._book = house, book
        self._keyboard = Keyboard(steering.keys, steering.aliases, steering.fps)
        self._wake = asyncio.Event()
        self._events: collections.deque[Event] = collections.deque()
        self._key_events: list[tuple[int, float]] = []
        self._last_event = 0
        self._script: collections.deque[Controls] = collections.deque()
        self._expected: list[str | None] = []
        self.watching = False
        self._saving: asyncio.Future | None = None
        self._chunks_since_point = 0

    # ---- what clients do ----

    def take(self, event: Event) -> None:
        """Take an event.

        Raises:
            Refused: it cannot be done, or too many wait.
        """
        self.used = time.monotonic()
        if event.kind == "heartbeat":
            return
        if event.kind in ("camera_actions", "look"):
            self._take_keys(event)
        elif len(self._events) >= MOST_WAITING_EVENTS:
            raise Refused(f"{MOST_WAITING_EVENTS} events wait already; send fewer, and wait for their receipts")
        else:
            self._events.append(event)
        self._script.clear()
        self.watching = False
        self._wake.set()

    def _take_keys(self, event: Event) -> None:
        try:
            if event.kind == "look":
                self._keyboard.turn(*event.payload)
            elif isinstance(event.payload, list):
                named = [dataclasses.replace(one, keys=self._keyboard.named(one.keys)) for one in event.payload]
                self._keyboard.hold(named)
            else:
                self._keyboard.follow(event.payload)
        except ValueError as error:
            raise Refused(str(error)) from None
        self._key_events.append((event.number, time.monotonic()))
        del self._key_events[:-MOST_WAITING_EVENTS]

    def watch(self) -> None:
        """Walk the tour of the model until somebody does something."""
        frames = [tuple(keys) for keys, count in self.player.game.steering.tour for _ in range(count)]
        self._keyboard.follow(frames)
        self.watching = True

    def replay(self, played: session_file.PlayedSession) -> None:
        """Do again what a session file says, until somebody does something."""
        self._script = collections.deque(played.controls)
        self._expected = list(played.latents)

    @property
    def fresh(self) -> bool:
        """Whether nothing was done yet."""
        return not len(self.player.tree.history)

    # ---- the play ----

    async def play(self, init: Init, outlet: Outlet, *, resumed: bool = False) -> None:
        """Play until the client is gone, has had all its chunks, or does nothing for long.

        Args:
            init: how the client wants to begin.
            outlet: what goes to it.
            resumed: whether it comes back.
        """
        self.outlet, self.used = outlet, time.monotonic()
        pace = Pace(init.fps or self.player.game.steering.fps, paced=init.paced)
        view = messages.View(init, self, outlet)
        if init.actions:
            self._take_keys(Event(kind="camera_actions", payload=init.actions, number=0))
        goes_on = init.extension is None or init.extension.idle == "go_on"
        # Whoever comes back sees where he was.
        again, made = None if self.fresh else self.player.make_current(), 0
        await view.session(self, resumed=resumed)
        if again is None:
            await view.timeline(self)
        try:
            while not outlet.gone.is_set():
                if again is not None:
                    await self._show_again(again, view, pace)
                again = await self._change(view)
                if again is not None:
                    continue
                if init.max_chunks is not None and made >= init.max_chunks:
                    await outlet.close(OK, "generation complete")
                    return
                busy = self.fresh or goes_on or bool(self._script) or not self._keyboard.idle
                if busy and (full := self.player.full) is not None:
                    self._script.clear(), self._keyboard.release()
                    await view.status(full)
                    busy = False
                if busy:
                    made += await self._next_chunk(view, pace)
                elif not await self._something_to_do(outlet):
                    await outlet.close(OK, "idle")
                    return
        finally:
            self._keyboard.release()
            self._script.clear()
            self.outlet = None

    async def _something_to_do(self, outlet: Outlet) -> bool:
        """Wait for an event; tell whether one came before the session was idle for too long."""
        self._wake.clear()
        if self._events or outlet.gone.is_set():
            return True
        waits = [asyncio.ensure_future(self._wake.wait()), asyncio.ensure_future(outlet.gone.wait())]
        left = self.used + self._house.idle_seconds - time.monotonic()
        _, pending = await asyncio.wait(waits, timeout=max(0.0, left), return_when=asyncio.FIRST_COMPLETED)
        for one in pending:
            one.cancel()
        return time.monotonic() < self.used + self._house.idle_seconds

    async def _next_chunk(self, view: "messages.View", pace: Pace) -> bool:
        """Make a chunk when it is due, unless something comes that changes the world; tell whether it was made."""
        await self._nap(pace.wait())
        if self._events or view.gone:
            return False
        asked = time.monotonic()
        async with self._house.turns.turn(self.name) as turn:
            begun = time.monotonic()
            count = self.player.frames_of_next()
            controls = self._script.popleft() if self._script else self._keyboard.sample(count)
            applied, self._key_events = self._key_events, []
            chunk = await turn.run(self.player.step, controls)
        self._write(["chunk", controls.to_json()])
        if applied:
            self._last_event = applied[-1][0]
            self._house.metrics.key_to_frames.observe(time.monotonic() - applied[0][1])
        await self._show(chunk, view, [number for number, _ in applied], queued=begun - asked)
        pace.sent(len(controls.frames), asked)
        await self._compare(chunk, view)
        if not controls.idle:
            self.used = time.monotonic()
        self._chunks_since_point += 1
        if self._chunks_since_point >= SAVE_EVERY:
            self.save_point()
        return True

    async def _nap(self, seconds: float) -> None:
        """Sleep, unless something comes that changes the world."""
        until = time.monotonic() + seconds
        while not self._events and (left := until - time.monotonic()) > 0:
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), left)

    async def _compare(self, chunk: PlayedChunk, view: "messages.View") -> None:
        """Say how a replay went when it ends."""
        if not self._expected:
            return
        expected = self._expected[chunk.index - self.player.first :][:1]
        same = expected in ([], [None], [chunk.lanes[0].latents])
        if same and self._script:
            return
        number = chunk.index + 1 - self.player.first
        said = f"replayed {number} chunks, bit for bit the same" if same else f"chunk {chunk.index} came out otherwise"
        await view.status(said, replay={"chunks": number, "first_difference": None if same else chunk.index})
        self._expected = []

    # ---- what changes the world ----

    async def _change(self, view: "messages.View") -> Iterator[PlayedChunk] | None:
        """Apply what waits; return how to make the present again where it changed."""
        again = None
        while self._events and again is None:
            event = self._events.popleft()
            try:
                again = await self._apply(event, view)
            except ValueError as error:
                await view.receipt(event.number, "refused", content=str(error))
                continue
            self._last_event = event.number
            await view.receipt(event.number, "applied", chunk=self.player.position)
        return again

    async def _apply(self, event: Event, view: "messages.View") -> Iterator[PlayedChunk] | None:
        tree, first = self.player.tree, self.player.first
        match event.kind:
            case "session_file":
                await view.send("session_file", data=session_file.write(self.player.game, tree, self.shown))
            case "record":
                await self._record(event.payload, view)
            case "save":
                tree.apply(["save", event.payload])
                self._write(["save", event.payload])
                await view.send("saved", name=event.payload)
            case "fork":
                return await self._go(["fork", None if event.payload is None else event.payload - first], view)
            case "rewind":
                return await self._go(["rewind", event.payload - first], view)
            case "switch" | "restore":
                return await self._go([event.kind, event.payload], view)
            case "reset":
                return await self._go(["reset", tree.seed if event.payload is None else event.payload], view)
            case "memory":
                messages.check_memories(self.player.game, event.payload)
                if not self._house.fits(self.name, event.payload):
                    raise ValueError("the server has no room for these memories now; ask for one memory")
                await self._record(False, view)
                await view.status(f"making the world again with {' and '.join(event.payload)}")
                await self._house.prepare(event.payload)
                return await self._go(["memory", list(event.payload)], view)
            case _:
                raise ValueError(f"{self.player.game.default.model} takes no {event.kind} while it is played")
        return None

    async def _go(self, change: Sequence[Any], view: "messages.View") -> Iterator[PlayedChunk]:
        if change[0] == "reset":
            async with self._house.turns.turn(self.name) as turn:
                await turn.run(self.player.reset, change[1])
            self.shown.clear()
        else:
            self.player.tree.apply(change)
        self._write(change)
        if change[0] in ("reset", "memory"):
            await view.session(self, resumed=True)
        self._keyboard.release()
        return self.player.make_current()

    async def _show_again(self, chunks: Iterator[PlayedChunk], view: "messages.View", pace: Pace) -> None:
        """Make the present again, a chunk a turn, and show the last of what is made."""
        last, since = None, time.monotonic()
        while not view.gone:
            async with self._house.turns.turn(self.name) as turn:
                chunk = await turn.run(next, chunks, None)
            if chunk is None:
                break
            last = chunk
            if chunk.mark not in self.shown:
                self._keep(chunk, await self._encode(pictures.thumbnail, chunk.lanes[0].frames))
            if time.monotonic() - since > 1.0:
                await view.status(f"making chunk {chunk.index} of {self.player.position} again")
        await view.timeline(self)
        if last is not None and not view.gone:
            await self._show(last, view, [], queued=0.0)
            pace.sent(len(last.controls.frames), time.monotonic())

    # ---- what is shown and kept ----

    async def _show(self, chunk: PlayedChunk, view: "messages.View", applied: list[int], *, queued: float) -> None:
        since = time.monotonic()
        encoded = [await self._encode(pictures.encode, lane.frames, view.form, view.quality) for lane in chunk.lanes]
        encode_ms = round(1000 * (time.monotonic() - since))
        self._keep(chunk, await self._encode(pictures.thumbnail, chunk.lanes[0].frames))
        shown = self.shown[chunk.mark]
        await view.chunk(chunk, encoded, shown, applied, self._last_event, queued=queued, encode_ms=encode_ms)
        self._house.metrics.chunk(chunk, queued=queued)
        if self.recorder is not None:
            self.recorder.add([lane.frames for lane in chunk.lanes])
            if self.recorder.full:
                await self._record(False, view)

    async def _encode(self, work, *given):
        return await asyncio.get_running_loop().run_in_executor(self._house.encoders, work, *given)

    def _keep(self, chunk: PlayedChunk, thumbnail: bytes) -> None:
        if chunk.mark not in self.shown:
            lanes = [{"memory": lane.memory, "picks": list(lane.picks), "psnr": lane.psnr} for lane in chunk.lanes]
            shown = Shown(messages.camera_of(chunk.stance), thumbnail, chunk.lanes[0].latents, lanes)
            self.shown[chunk.mark] = shown
            if self._book is not None:
                with contextlib.suppress(OSError):
                    self._book.write_shown(chunk.mark, shown)

    def _write(self, change: Sequence[Any]) -> None:
        if self._book is not None:
            try:
                self._book.write(change)
            except OSError:  # no room: the play goes on, and what is kept stays as it is
                self._house.metrics.errors.labels("disk").inc()
                self._book = None

    def save_point(self) -> asyncio.Future | None:
        """Begin to write the latest point to disk, beside the play; return what is done when it is there."""
        if self._book is None or (self._saving is not None and not self._saving.done()):
            return self._saving
        found = self.player.latest_point()
        if found is None:
            return None
        self._chunks_since_point = 0
        chunks, moment = found
        tree = self.player.tree
        given = tree, chunks, tree.history.marks[: chunks + 1], moment.worlds
        loop = asyncio.get_running_loop()
        self._saving = loop.run_in_executor(self._house.writer, self._book.save_point, *given)
        self._saving.add_done_callback(self._saved)
        return self._saving

    def _saved(self, future: asyncio.Future) -> None:
        if not future.cancelled() and future.exception() is not None:
            self._house.metrics.errors.labels("disk").inc()

    async def close(self) -> None:
        """Keep the world on disk, and let go of it."""
        if self.recorder is not None:
            self.recorder.end()
        for _ in range(2):  # what is being written may be of an earlier time
            if (saving := self.save_point()) is not None:
                await asyncio.wait([saving])
        async with self._house.turns.turn(self.name) as turn:
            await turn.run(self.player.close)
        self._house.turns.forget(self.name)
        if self._book is not None:
            self._book.close()

    async def _record(self, on: bool, view: "messages.View") -> None:
        if on and self.recorder is None:
            game = self.player.game
            path = self._house.recordings / f"{messages.public_name(self.name)}.mp4"
            self.recorder = Recorder(path, fps=game.steering.fps, scale=game.default.pixel_scale)
            await view.send("recording", state="on", frames=0, url=None)
        elif not on and self.recorder is not None:
            recorder, self.recorder = self.recorder, None
            try:
                self.recording = await asyncio.wrap_future(recorder.end())
            except (OSError, ValueError) as error:
                await view.send("recording", state="off", frames=0, url=None)
                raise ValueError("nothing was recorded; move while it records") from error
            url = f"/v1/sessions/{self.name}/recording.mp4"
            await view.send("recording", state="ready", frames=recorder.frames, url=url)
