"""A seat: one session at play, its world, and whoever looks on."""

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from worldkv_jax.heap import give_back
from worldkv_jax.play import frames as pictures
from worldkv_jax.play import messages, session_file
from worldkv_jax.play.inbox import Inbox
from worldkv_jax.play.keeping import Keeping
from worldkv_jax.play.metrics import Metrics
from worldkv_jax.play.outlet import OK, Outlet
from worldkv_jax.play.pacing import Pace
from worldkv_jax.play.player import PlayedChunk, Player
from worldkv_jax.play.protocol import Event, Init
from worldkv_jax.play.recorder import Recorder
from worldkv_jax.play.store import Book, Shown
from worldkv_jax.play.turns import Turns


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
        player: its world.
        shown: what is kept of each chunk, by its mark.
        inbox: what its clients did.
        outlet: of whoever is there.
        playing: is held while somebody plays.
        recording: the latest recording.
    """

    def __init__(self, name: str, player: Player, house: House, *, book: Book | None, shown: dict[str, Shown]):
        self.name, self.player, self.shown = name, player, shown
        self.inbox = Inbox(player.game.steering)
        self.outlet: Outlet | None = None
        self.playing = asyncio.Lock()
        self.recording: Path | None = None
        self._house = house
        self._keeping = Keeping(book, player, house.writer, house.metrics)
        self._recorder: Recorder | None = None
        self._expected: list[str | None] = []

    @property
    def fresh(self) -> bool:
        """Whether nothing was done yet."""
        return not len(self.player.tree.history)

    @property
    def _begins(self) -> bool:
        """Whether the first chunk is still to be made. What anybody does comes after it, however quick they are."""
        return self.fresh and self.player.full is None

    def replay(self, played: session_file.PlayedSession) -> None:
        """Do again what a session file says, until somebody does something."""
        self.inbox.replay(played.controls)
        count = len(played.controls)
        self._expected = [*played.latents, *[None] * count][:count]

    async def play(self, init: Init, outlet: Outlet, *, resumed: bool = False) -> None:
        """Play until the client is gone, has had all its chunks, or does nothing for long.

        Args:
            init: how the client wants to begin.
            outlet: what goes to it.
            resumed: whether it comes back.
        """
        self.outlet, self.inbox.used = outlet, time.monotonic()
        try:
            await self._play(init, outlet, messages.View(init, self, outlet), resumed)
        finally:
            self.inbox.forget()
            self.outlet = None

    async def close(self) -> None:
        """Keep the world on disk, and let go of it."""
        if self._recorder is not None:  # its folder may go right after
            with contextlib.suppress(OSError, ValueError):
                await asyncio.wrap_future(self._recorder.end())
        await self._keeping.close()
        async with self._house.turns.turn(self.name) as turn:
            await turn.run(self.player.close)
            await turn.run(give_back)  # in a turn: no chunk waits for the heap
        self._house.turns.forget(self.name)

    # ---- the play ----

    async def _play(self, init: Init, outlet: Outlet, view: "messages.View", resumed: bool) -> None:
        pace = Pace(init.fps or self.player.game.steering.fps, paced=init.paced)
        if init.actions:
            self.inbox.open(init.actions)
        goes_on = init.extension is None or init.extension.idle == "go_on"
        await view.session(self, resumed=resumed)
        made, again = 0, None
        if self.fresh:
            await view.timeline(self)
        else:  # whoever comes back sees where he was
            again = self.player.make_current()
        while not outlet.gone.is_set():
            if again is not None:
                await self._show_again(again, view, pace)
            again = None if self._begins else await self._change(view)
            if again is not None:
                continue
            if init.max_chunks is not None and made >= init.max_chunks:
                await outlet.close(OK, "generation complete")
                return
            if self.inbox.idle and not self._begins and time.monotonic() > self.inbox.used + self._house.idle_seconds:
                await outlet.close(OK, "idle")
                return
            busy = self.fresh or goes_on or not self.inbox.idle
            if busy and (full := self.player.full) is not None:
                for number in self.inbox.refuse():  # whoever pressed a key waits for what comes of it
                    await view.receipt(number, "refused", content=full)
                await view.status(full)
                busy = False
            if busy:
                made += await self._next_chunk(view, pace)
            else:
                await view.rest(told := self.inbox.taken)
                await self.inbox.wait(outlet.gone, self._house.idle_seconds, told=told)

    async def _next_chunk(self, view: "messages.View", pace: Pace) -> bool:
        """Make a chunk when it is due, unless something comes that changes the world; tell whether it was made."""
        await self.inbox.nap(pace.wait())
        if (self.inbox and not self._begins) or view.gone:
            return False
        asked = time.monotonic()
        async with self._house.turns.turn(self.name, share=len(self.player.tree.memories)) as turn:
            begun = time.monotonic()
            replayed = self.inbox.replaying
            controls, applied = self.inbox.sample(self.player.frames_of_next(), first=self.fresh)
            chunk = await turn.run(self.player.step, controls)
        self._keeping.write(["chunk", controls.to_json()])
        if applied:
            self._house.metrics.key_to_frames.observe(time.monotonic() - applied[0][1])
        await self._show(chunk, view, [number for number, _ in applied], queued=begun - asked)
        pace.sent(len(controls.frames), asked)
        if replayed:
            await self._compare(chunk, view)
        self._keeping.chunk_made()
        return True

    async def _compare(self, chunk: PlayedChunk, view: "messages.View") -> None:
        """Say how a replay went when it ends."""
        number = chunk.index + 1 - self.player.first
        if number > len(self._expected):
            return
        same = self._expected[number - 1] in (None, chunk.lanes[0].latents)
        if same and number < len(self._expected):
            return
        said = f"replayed {number} chunks, bit for bit the same" if same else f"chunk {chunk.index} came out otherwise"
        await view.status(said, replay={"chunks": number, "first_difference": None if same else chunk.index})
        self._expected = []

    # ---- what changes the world ----

    async def _change(self, view: "messages.View") -> Iterator[PlayedChunk] | None:
        """Apply what waits; return how to make the present again where it changed."""
        again = None
        while self.inbox and again is None:
            event = self.inbox.next()
            try:
                again = await self._apply(event, view)
            except ValueError as error:
                await view.receipt(event.number, "refused", content=str(error))
                continue
            self.inbox.latest = event.number
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
                self._keeping.write(["save", event.payload])
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
        else:
            self.player.tree.apply(change)
        for mark in self.shown.keys() - self.player.tree.marks():  # of a past that nobody can go back to
            del self.shown[mark]
        self._keeping.write(change)
        if change[0] in ("reset", "memory"):
            await view.session(self, resumed=True)
        self.inbox.release()
        return self.player.make_current()

    async def _show_again(self, chunks: Iterator[PlayedChunk], view: "messages.View", pace: Pace) -> None:
        """Make the present again, a chunk a turn, and show the last of what is made."""
        last, since = None, time.monotonic()
        while not view.gone:
            async with self._house.turns.turn(self.name, share=len(self.player.tree.memories)) as turn:
                chunk = await turn.run(lambda: next(chunks, None))
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
        await view.chunk(chunk, encoded, shown, applied, self.inbox.latest, queued=queued, encode_ms=encode_ms)
        self._house.metrics.chunk(chunk, queued=queued)
        if self._recorder is not None:
            self._recorder.add([lane.frames for lane in chunk.lanes])
            if self._recorder.full:
                await self._record(False, view)

    async def _encode(self, work, *given):
        return await asyncio.get_running_loop().run_in_executor(self._house.encoders, work, *given)

    def _keep(self, chunk: PlayedChunk, thumbnail: bytes) -> None:
        if chunk.mark not in self.shown:
            lanes = [{"memory": lane.memory, "picks": list(lane.picks), "psnr": lane.psnr} for lane in chunk.lanes]
            shown = Shown(messages.camera_of(chunk.stance), thumbnail, chunk.lanes[0].latents, lanes)
            self.shown[chunk.mark] = shown
            self._keeping.write_shown(chunk.mark, shown)

    async def _record(self, on: bool, view: "messages.View") -> None:
        if on and self._recorder is None:
            game = self.player.game
            path = self._house.recordings / f"{messages.public_name(self.name)}.mp4"
            self._recorder = Recorder(path, fps=game.steering.fps, scale=game.default.pixel_scale)
            await view.send("recording", state="on", frames=0, url=None)
        elif not on and self._recorder is not None:
            recorder, self._recorder = self._recorder, None
            try:
                self.recording = await asyncio.wrap_future(recorder.end())
            except (OSError, ValueError) as error:
                await view.send("recording", state="off", frames=0, url=None)
                raise ValueError("nothing was recorded; move while it records") from error
            url = f"/v1/sessions/{self.name}/recording.mp4"
            await view.send("recording", state="ready", frames=recorder.frames, url=url)
