"""What one session's clients did and nobody has acted on yet: keys, scripts, and what changes the world."""

import asyncio
import collections
import contextlib
import dataclasses
import time
from collections.abc import Sequence

from worldkv_jax.play.keyboard import Keyboard
from worldkv_jax.play.protocol import Event, Refused
from worldkv_jax.sessions.steering import Controls, Steering

MOST_WAITING = 64


class Inbox:
    """Takes events as they come; the session takes from it between chunks, and keys as late as it can.

    Attributes:
        used: when somebody last did something, of `time.monotonic`.
        watching: whether the tour of the model is walked.
        latest: number of the latest event that was acted on.
        taken: number of the latest event that came, also of one that was refused.
    """

    def __init__(self, steering: Steering):
        self.used = time.monotonic()
        self.watching = False
        self.latest = self.taken = 0
        self._opened = False
        self._steering = steering
        self._keyboard = Keyboard(steering.keys, steering.aliases, steering.fps)
        self._wake = asyncio.Event()
        self._events: collections.deque[Event] = collections.deque()
        self._keys: collections.deque[tuple[int, float]] = collections.deque(maxlen=MOST_WAITING)
        self._script: collections.deque[Controls] = collections.deque()

    def __bool__(self) -> bool:
        """Tell whether something waits that changes the world."""
        return bool(self._events)

    @property
    def idle(self) -> bool:
        """Whether no key is held or scripted, and nothing is replayed."""
        return self._keyboard.idle and not self._script

    @property
    def replaying(self) -> bool:
        """Whether a replay goes on."""
        return bool(self._script)

    def take(self, event: Event) -> None:
        """Take an event; whatever somebody does ends a tour and a replay.

        Raises:
            Refused: it cannot be done, or too many wait.
        """
        self.used = time.monotonic()
        if event.kind == "heartbeat":
            return
        self.taken = event.number
        self._wake.set()
        if event.kind in ("camera_actions", "look"):
            self._take_keys(event)
        elif len(self._events) >= MOST_WAITING:
            raise Refused(f"{MOST_WAITING} events wait already; send fewer, and wait for their receipts")
        else:
            self._events.append(event)
        self._script.clear()
        self.watching = False

    def open(self, script: tuple[tuple[str, ...], ...]) -> None:
        """Take the keys that a session is opened with: the first chunk shows them.

        Raises:
            Refused: keys that the model does not know.
        """
        self.take(Event(kind="camera_actions", payload=script, number=0))
        self._opened = True

    def next(self) -> Event:
        """Return the next event that changes the world."""
        return self._events.popleft()

    def sample(self, frames: int, *, first: bool = False) -> tuple[Controls, list[tuple[int, float]]]:
        """Return the controls of a chunk that begins now, and the events that they are of, with their times.

        Args:
            frames: of the chunk.
            first: whether it is the first one of its world. It shows keys that the session was opened with, a tour or a
                replay; keys that were pressed since wait for the next one. Else it would depend on how quick client and
                server are which world the same keys make.
        """
        opened, self._opened = self._opened, False
        if first and self._keys and not opened:
            return Controls(((),) * frames), []
        controls = self._script.popleft() if self._script else self._keyboard.sample(frames)
        applied, self._keys = list(self._keys), collections.deque(maxlen=MOST_WAITING)
        if applied:
            self.latest = applied[-1][0]
        if not controls.idle:
            self.used = time.monotonic()
        return controls, applied

    def watch(self) -> None:
        """Walk the tour of the model until somebody does something."""
        self._keyboard.follow([tuple(keys) for keys, count in self._steering.tour for _ in range(count)])
        self.watching = True

    def replay(self, controls: Sequence[Controls]) -> None:
        """Do again what was done, until somebody does something."""
        self._script = collections.deque(controls)

    def release(self) -> None:
        """Let go of all keys, and of a replay."""
        self._keyboard.release()
        self._script.clear()

    def refuse(self) -> list[int]:
        """Let go of all keys, which nothing can come of; return the numbers of the events that pressed them."""
        refused = [] if self.idle else [number for number, _ in self._keys] or [self.latest]
        self._keys.clear()
        self.release()
        return refused

    def forget(self) -> None:
        """Let go of everything that waits: of a client that is gone nothing is to be done later."""
        self.release()
        self._events.clear()
        self._keys.clear()
        self.latest = self.taken = 0  # the next client counts anew
        self._opened = False

    async def nap(self, seconds: float) -> None:
        """Sleep, unless something comes that changes the world."""
        until = time.monotonic() + seconds
        while not self._events and (left := until - time.monotonic()) > 0:
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), left)

    async def wait(self, gone: asyncio.Event, idle_seconds: float, *, told: int) -> None:
        """Wait until something comes, the client is gone, or nothing was done for so long.

        Args:
            gone: is set when the client is gone.
            idle_seconds: after which it is not waited any longer.
            told: what `taken` was when the client was told that nothing comes: what came since is not waited for.
        """
        self._wake.clear()
        if self._events or not self.idle or gone.is_set() or self.taken != told:
            return
        waits = [asyncio.ensure_future(self._wake.wait()), asyncio.ensure_future(gone.wait())]
        try:
            left = max(0.0, self.used + idle_seconds - time.monotonic()) + 0.001
            await asyncio.wait(waits, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()

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
        self._keys.append((event.number, time.monotonic()))
