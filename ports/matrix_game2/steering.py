"""Playing Matrix-Game 2.0: held keys and a mouse become its actions."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import numpy as np

from ports.matrix_game2.actions import OPPOSITES, Rows, check_rows, rows_of_chunk
from ports.matrix_game2.play import Track, advance, given
from ports.matrix_game2.scene import Scene
from ports.matrix_game2.variants import MOUSE_UNITS, Variant
from worldkv_jax.cameras.actions import MotionUnits, Stance
from worldkv_jax.rollout import ChunkInput
from worldkv_jax.sessions.steering import Beginning, Controls, Key

_LABELS: Mapping[str, Mapping[str, str]] = {
    "universal": {"w": "forward", "s": "back", "a": "left", "d": "right"}
    | {"i": "look up", "k": "look down", "j": "look left", "l": "look right"},
    "gta_drive": {"w": "faster", "s": "slower", "a": "steer left", "d": "steer right"},
    "templerun": {"w": "jump", "s": "slide", "a": "step left", "d": "step right", "z": "turn left", "c": "turn right"},
}
_TOURS: Mapping[str, tuple[tuple[str, int], ...]] = {
    "universal": (("l", 48), ("", 12), ("j", 48)),
    "gta_drive": (("w", 36), ("wd", 24), ("wa", 24)),
    "templerun": (("w", 12), ("", 12), ("s", 12)),
}


class Place(NamedTuple):
    """Where somebody is."""

    track: Track
    scene: Scene


@dataclasses.dataclass(frozen=True)
class MatrixGameSteering:
    """Steers one variant."""

    variant: Variant
    scene: Scene
    encode: Callable[[np.ndarray], Scene]
    """Reads another picture; loads what it takes, and lets go of it."""
    units: MotionUnits
    most_chunks: int
    fps: float

    field_of_view = None
    takes_picture = True

    @property
    def keys(self) -> tuple[Key, ...]:
        """The variant's keys."""
        labels = _LABELS[self.variant.name]
        return tuple(Key(key, label, "look" if key in "ikjl" else "walk") for key, label in labels.items())

    @property
    def aliases(self) -> Mapping[str, str]:
        """What the arrows stand for."""
        left, right = ("j", "l") if self.variant.name == "universal" else ("a", "d")
        return {"up": "w", "down": "s", "left": left, "right": right}

    @property
    def tour(self) -> tuple[tuple[str, int], ...]:
        """A short walk."""
        return _TOURS[self.variant.name]

    def begin(self, seed: int, picture: np.ndarray | None = None) -> Beginning:
        """Begin with the picture."""
        return Beginning(Place(Track(), self.scene if picture is None else self.encode(picture)))

    def frames_of(self, chunk: int) -> int:
        """Return the video frames of a chunk."""
        return len(rows_of_chunk(chunk))

    def steer(self, state: Place, controls: Controls) -> tuple[Place, ChunkInput]:
        """Play on, see `worldkv_jax.sessions.steering.Steering`."""
        track, seen = advance(state.track, self._rows(controls), self.variant, self.units)
        seen = jax.tree.map(lambda part: part[None], seen)
        return Place(track, state.scene), given(state.scene, state.track.chunk, seen)

    def stance(self, state: Place) -> Stance:
        """Return where the camera stands, as far as anyone can tell."""
        return state.track.stance

    def _rows(self, controls: Controls) -> Rows:
        pressed = [self._pressed(keys) for keys in controls.frames]
        keyboard = [self.variant.keyboard_row(keys) for keys in pressed]
        mice = [row for keys in pressed if (row := self.variant.mouse_row(keys)) is not None]
        if not mice:
            return check_rows(self.variant, keyboard)
        right, up = (degrees / len(pressed) / self.units.degrees_per_mouse_unit for degrees in controls.look)
        mouse = np.stack(mice) + np.array([up, right], np.float32)
        return check_rows(self.variant, keyboard, np.clip(mouse, -MOUSE_UNITS, MOUSE_UNITS))

    def _pressed(self, keys: tuple[str, ...]) -> str:
        """Leave out keys that cancel each other, and all but one where one is pressed at a time."""
        known = {key.key for key in self.keys}
        if unknown := set(keys) - known:
            names = ", ".join(sorted(known))
            raise ValueError(f"unknown keys {sorted(unknown)}; variant {self.variant.name!r} has {names}")
        cancelled = {key for pair in OPPOSITES if set(pair) <= set(keys) for key in pair}
        left = [key for key in keys if key not in cancelled]
        return "".join(left[:1] if self.variant.exclusive else left)
