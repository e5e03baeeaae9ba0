"""Walking with a camera: held keys and a mouse become poses, frame by frame."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import ClassVar

import numpy as np

from worldkv_jax.cameras.actions import Motion, MotionUnits, Stance, dead_reckon
from worldkv_jax.sessions.steering import Controls, Key

ARROWS: Mapping[str, str] = {"up": "w", "down": "s", "left": "j", "right": "l"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class CameraWalk:
    """How far a held key moves the camera in one video frame. Walking stays on the ground, whatever the pitch."""

    step: float = 0.05
    """Scene units (as TeleFuser)."""
    degrees: float = 2.0
    """Of a turn (as TeleFuser)."""
    most_pitch: float = 85.0
    """Degrees up or down; 0 for a model that only looks ahead."""
    walls: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
    """Where one comes from a place ``[3]`` who wants to be at another; everywhere, where there are no walls."""

    _WALK: ClassVar[tuple[Key, ...]] = (
        Key("w", "forward", "walk"),
        Key("s", "back", "walk"),
        Key("a", "left", "walk"),
        Key("d", "right", "walk"),
    )
    _TURN: ClassVar[tuple[Key, ...]] = (Key("j", "look left", "look"), Key("l", "look right", "look"))
    _PITCH: ClassVar[tuple[Key, ...]] = (Key("i", "look up", "look"), Key("k", "look down", "look"))

    @property
    def keys(self) -> tuple[Key, ...]:
        """Keys that move the camera."""
        return (*self._WALK, *self._TURN, *(self._PITCH if self.most_pitch else ()))

    def follow(self, start: Stance, controls: Controls) -> Stance:
        """Return stances ``[n + 1]``: the start, and after each frame of the controls.

        Raises:
            ValueError: a key that does not move the camera.
        """
        known = {key.key for key in self.keys}
        if unknown := {key for keys in controls.frames for key in keys} - known:
            raise ValueError(f"unknown keys {sorted(unknown)}; this model has {', '.join(sorted(known))}")
        units = MotionUnits(step=self.step, diagonal_step=self.step / math.sqrt(2))
        right, up = (degrees / len(controls.frames) for degrees in controls.look)
        path = [start]
        for keys in controls.frames:
            walk = [("w" in keys) - ("s" in keys), ("d" in keys) - ("a" in keys)]
            turn = self.degrees * (("l" in keys) - ("j" in keys)) + right
            wanted = float(path[-1].pitch) + self.degrees * (("i" in keys) - ("k" in keys)) + up
            tilt = np.clip(wanted, -self.most_pitch, self.most_pitch) - path[-1].pitch
            moved = dead_reckon(Motion(np.array([walk]), np.array([[tilt, turn]])), units, path[-1])
            position, pitch, yaw = (part[-1] for part in moved)
            if self.walls is not None and any(walk):
                position = self.walls(path[-1].position, position)
            path.append(Stance(position, pitch, yaw))
        return Stance(*(np.stack(parts) for parts in zip(*path)))


def last(path: Stance) -> Stance:
    """Return the last of several stances."""
    return Stance(*(part[-1] for part in path))
