"""Dead reckoning: where a camera stands after the actions that moved it, and how far an action moves it.

A model that is steered by keys and mouse publishes no units, and what it draws follows the actions only roughly.
Poses made here are an index for memory: near enough to find what was seen before, not a reconstruction.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from worldkv_jax.cameras.poses import pose_from_angles


@dataclasses.dataclass(frozen=True, kw_only=True)
class MotionUnits:
    """How far one pixel frame of an action moves the camera.

    The defaults are those of Matrix-Game 3, a sibling that has poses; for any other model they are guesses until
    fitted, see `fit_units`.
    """

    degrees_per_mouse_unit: float = 15.0
    """Turn of the camera for a mouse that moved by 1."""
    dead_zone: float = 0.02
    """Mouse movements below this turn nothing, mouse units."""
    step: float = 0.1235
    """Walk of one frame straight ahead or aside, scene units."""
    diagonal_step: float = 0.0873
    """Walk of one frame along each of two directions at once, scene units."""
    degrees_per_turn: float = 90.0
    """Turn of the camera for a turn that is one event, as in an endless run."""
    calibrated: bool = False
    """Whether the numbers were measured for the model that they are used with."""

    def __post_init__(self):
        for name in ("degrees_per_mouse_unit", "step", "diagonal_step", "degrees_per_turn"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name}={value} must be a positive number")
        if not (math.isfinite(self.dead_zone) and self.dead_zone >= 0):
            raise ValueError(f"dead_zone={self.dead_zone} must be a number of mouse units, 0 for none")


class Motion(NamedTuple):
    """What the actions of ``n`` frames ask of the camera."""

    walk: np.ndarray  # [..., n, 2] forward and right, each -1, 0 or 1
    turn: np.ndarray  # [..., n, 2] pitch and yaw, degrees; positive looks up and to the right


class Stance(NamedTuple):
    """Where a camera stands and looks."""

    position: np.ndarray  # [..., 3] scene units, OpenCV axes: x right, y down, z forward
    pitch: np.ndarray  # [...] degrees, positive looks up
    yaw: np.ndarray  # [...] degrees in [-180, 180], positive is to the right

    def pose(self) -> np.ndarray:
        """Return camera-to-world poses ``[..., 4, 4]``, float64."""
        return pose_from_angles(self.yaw, self.pitch, self.position)


def mouse_turn(mouse: np.ndarray, units: MotionUnits) -> np.ndarray:
    """Turn mouse movements ``[..., n, 2]`` (pitch, yaw) into degrees."""
    mouse = np.asarray(mouse, np.float64)
    return np.where(np.abs(mouse) < units.dead_zone, 0.0, mouse * units.degrees_per_mouse_unit)


def resting(*shape: int) -> Stance:
    """Return cameras at the origin that look straight ahead, of any leading shape."""
    return Stance(np.zeros((*shape, 3)), np.zeros(shape), np.zeros(shape))


def dead_reckon(
    motion: Motion, units: MotionUnits, start: Stance | None = None, *, wrapped_heading: bool = False
) -> Stance:
    """Add up motions, frame by frame, on the host in float64.

    Walking stays on the ground plane whatever the pitch, along the mean of the headings before and after the frame,
    so that a path walked backwards leads back (Matrix-Game 3; Matrix-Game 2.0 specification, section 9).

    Args:
        motion: of ``n`` frames.
        units: how far a frame moves the camera.
        start: where it stands before; ``None`` for the origin.
        wrapped_heading: average headings after they were wrapped to [-180, 180], as released: a camera that turns
            past 180 degrees then walks the wrong way for one frame.

    Returns:
        Stances ``[..., n + 1]``: the start, and after each frame.
    """
    walk, turn = (np.asarray(part, np.float64) for part in motion)
    start = resting(*walk.shape[:-2]) if start is None else start
    angles = np.stack([start.pitch, start.yaw], axis=-1)[..., None, :]
    pitch, yaw = np.moveaxis(np.concatenate([angles, angles + np.cumsum(turn, axis=-2)], axis=-2), -1, 0)
    diagonal = (walk != 0).all(axis=-1, keepdims=True)
    forward, right = np.moveaxis(walk * np.where(diagonal, units.diagonal_step, units.step), -1, 0)
    headings = _wrap(yaw) if wrapped_heading else yaw
    heading = np.deg2rad((headings[..., :-1] + headings[..., 1:]) / 2)
    sin, cos = np.sin(heading), np.cos(heading)
    steps = np.stack([right * cos + forward * sin, np.zeros_like(forward), forward * cos - right * sin], axis=-1)
    origin = np.asarray(start.position)[..., None, :]
    return Stance(np.concatenate([origin, origin + np.cumsum(steps, axis=-2)], axis=-2), pitch, _wrap(yaw))


def fit_units(
    turns: Sequence[tuple[float, float]] = (),
    walks: Sequence[tuple[float, float]] = (),
    *,
    units: MotionUnits | None = None,
) -> MotionUnits:
    """Fit the units of a model to what was measured of it, by least squares through the origin.

    Args:
        turns: pairs of mouse units, added up over a turn, and the degrees that the picture turned.
        walks: pairs of frames walked straight, and the scene units covered.
        units: what to start from; what has no pairs stays.

    Raises:
        ValueError: no pairs at all, a number that is not finite, or pairs that say nothing or the opposite.
    """
    units = units or MotionUnits()
    if not len(turns) and not len(walks):
        raise ValueError("nothing to fit: give pairs of mouse units and degrees, or of frames and scene units")
    found = {}
    if len(turns):
        found["degrees_per_mouse_unit"] = _slope("turns", "mouse units and degrees", turns)
    if len(walks):
        step = _slope("walks", "frames and scene units", walks)
        found |= {"step": step, "diagonal_step": step * units.diagonal_step / units.step}
    return dataclasses.replace(units, calibrated=True, **found)


def _wrap(degrees: np.ndarray) -> np.ndarray:
    """Bring angles to [-180, 180]; both ends stay what they are."""
    wrapped = (degrees + 180) % 360 - 180
    return np.where((wrapped == -180) & (degrees > 0), 180.0, wrapped)


def _slope(name: str, what: str, pairs: Sequence[tuple[float, float]]) -> float:
    array = np.asarray(pairs, np.float64)
    if array.ndim != 2 or array.shape[1] != 2 or not np.isfinite(array).all():
        raise ValueError(f"{name}={pairs!r}: expected pairs of {what}, all finite")
    x, y = array.T
    slope = (x @ y) / (x @ x) if (x @ x) > 0 else 0.0
    if not slope > 0:
        raise ValueError(f"{name}: the pairs of {what} give {slope:g} a unit; expected a positive slope, check signs")
    return float(slope)
