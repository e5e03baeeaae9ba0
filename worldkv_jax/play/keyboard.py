"""The keyboard of one session: events in, the controls of a chunk out when it is about to begin."""

import collections
import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from worldkv_jax.sessions.steering import MOST_DEGREES, Controls, Key

MOST_SCRIPT_FRAMES = 20_000


@dataclasses.dataclass(frozen=True)
class Transition:
    """Which keys are held from a moment on."""

    keys: frozenset[str]
    milliseconds: float
    """On the client's clock."""


class Keyboard:
    """Held keys, a script, and turns of the mouse since the last chunk; the newer form of keys replaces the other."""

    def __init__(self, keys: Iterable[Key], aliases: Mapping[str, str], fps: float):
        self._names = {key.key: key.key for key in keys} | dict(aliases)
        self._fps = fps
        self._held: frozenset[str] = frozenset()
        self._since: dict[str, float] = {}
        self._taps: dict[str, int] = {}
        self._script: collections.deque[tuple[str, ...]] = collections.deque()
        self._look = [0.0, 0.0]

    @property
    def idle(self) -> bool:
        """Whether nothing is pressed, scripted or turned."""
        return not (self._held or self._taps or self._script or any(self._look))

    def named(self, names: Iterable[str]) -> frozenset[str]:
        """Return keys by their names.

        Raises:
            ValueError: a key that the model does not know.
        """
        names = list(names)
        if unknown := [name for name in names if name not in self._names]:
            raise ValueError(f"unknown key {unknown[0][:20]!r}; this model has {', '.join(self._names)}")
        return frozenset(self._names[name] for name in names)

    def hold(self, transitions: Sequence[Transition]) -> None:
        """Follow keys as they go down and up; a key that is up again before it was seen counts for a frame at least."""
        self._script.clear()
        for transition in transitions:
            for key in self._held - transition.keys:
                if key in self._since:  # pressed after the last chunk began
                    seconds = max(0.0, transition.milliseconds - self._since[key]) / 1000
                    self._taps[key] = max(self._taps.get(key, 0), 1, round(seconds * self._fps))
            for key in transition.keys - self._held:
                self._since[key] = transition.milliseconds
            self._held = transition.keys

    def follow(self, frames: Sequence[Iterable[str]]) -> None:
        """Take a script: keys for every frame, then none.

        Raises:
            ValueError: a script that is too long, or a key that is not known.
        """
        if len(frames) > MOST_SCRIPT_FRAMES:
            raise ValueError(f"a script of {len(frames):,} frames is too long; give at most {MOST_SCRIPT_FRAMES:,}")
        script = [tuple(sorted(self.named(keys))) for keys in frames]
        self.release()
        self._script.extend(script)

    def turn(self, right: float, up: float) -> None:
        """Add what a mouse turned, in degrees."""
        for axis, degrees in enumerate((right, up)):
            self._look[axis] = min(MOST_DEGREES, max(-MOST_DEGREES, self._look[axis] + degrees))

    def release(self) -> None:
        """Let go of everything."""
        self._held, self._look = frozenset(), [0.0, 0.0]
        self._script.clear()
        self._forget_taps()

    def sample(self, frames: int) -> Controls:
        """Take the controls of a chunk that begins now."""
        if self._script:
            rows = [self._script.popleft() if self._script else () for _ in range(frames)]
        else:
            rows = [
                tuple(sorted(self._held | {key for key, count in self._taps.items() if frame < count}))
                for frame in range(frames)
            ]
        look, self._look = self._look, [0.0, 0.0]
        self._forget_taps()
        return Controls(tuple(rows), (look[0], look[1]))

    def _forget_taps(self) -> None:
        self._taps.clear()
        self._since.clear()
