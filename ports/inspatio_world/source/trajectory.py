"""Camera paths in files: keys of pitch, yaw and displacement (v1), or a matrix a frame (v1.5)."""

import dataclasses
import os
from typing import Literal

import numpy as np
from scipy.interpolate import UnivariateSpline

from worldkv_jax.cameras import inverse, validate_poses
from worldkv_jax.cameras.checks import MAX_FRAMES
from worldkv_jax.names import check_name
from worldkv_jax.readers import read_text
from worldkv_jax.readers.texts import MAX_DATA

Fit = Literal["smooth", "exact"]
FITS: tuple[Fit, ...] = ("smooth", "exact")
_LINES = ("pitch", "yaw", "displacement")
_MATRIX = 16  # numbers of a 4 x 4 matrix


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trajectory:
    """Keys of a camera path around a point, spread evenly over the video (v1); their numbers may differ.

    Raises:
        ValueError: fewer than two keys of a kind, or a number that is not finite.
    """

    pitch: tuple[float, ...]
    """Degrees, up is positive."""
    yaw: tuple[float, ...]
    """Degrees, left is positive."""
    displacement: tuple[float, ...]
    """Distance of the point that the camera turns about; where it does not turn, how far it moves forward."""

    def __post_init__(self):
        for name in _LINES:
            keys = tuple(float(key) for key in getattr(self, name))
            object.__setattr__(self, name, keys)
            if len(keys) < 2 or not np.isfinite(keys).all():
                raise ValueError(f"{name} keys {keys}: expected at least two finite numbers; repeat a key that stays")

    @property
    def total_angle(self) -> float:
        """Degrees that the camera turns on its way from key to key, the larger of pitch and yaw."""
        return max(float(np.abs(np.diff(keys)).sum()) for keys in (self.pitch, self.yaw))

    def sample(self, frames: int, *, fit: Fit = "smooth") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return pitch, yaw (degrees) and displacement of every frame, float64 ``[frames]`` each.

        Args:
            frames: of the video.
            fit: ``smooth`` as released: a smoothing spline that may miss keys, by up to 2 degrees in the shipped
                paths, but begins and ends with the displacement's. ``exact`` goes through all keys.
        """
        check_name("fit of the keys", fit, FITS)
        pitch, yaw, displacement = (_curve(getattr(self, name), frames, fit) for name in _LINES)
        if len(self.displacement) > 3:
            displacement[0], displacement[-1] = self.displacement[0], self.displacement[-1]
        return pitch, yaw, displacement


def _curve(keys: tuple[float, ...], frames: int, fit: Fit) -> np.ndarray:
    at, times = np.linspace(0, 1, frames), np.linspace(0, 1, len(keys))
    if len(keys) <= 3:
        return np.interp(at, times, keys)
    # `s=None` is scipy's own default: it allows squared residuals that add up to the number of keys.
    return np.asarray(UnivariateSpline(times, keys, k=3, s=None if fit == "smooth" else 0)(at))


def relative_poses(pitch, yaw, displacement, *, zoom=None, rotation_only: bool = False) -> np.ndarray:
    """Turn samples of a trajectory into poses relative to the camera it starts from.

    The camera looks at a point ahead of it, at the distance ``displacement``, and moves around it. A path that
    never turns is a dolly instead: it moves forward by ``displacement``, also under ``rotation_only``
    (InSpatio-World specification, section 5.2).

    Args:
        pitch: degrees ``[n]``, up is positive.
        yaw: degrees ``[n]``, left is positive.
        displacement: scene units ``[n]``.
        zoom: replaces ``displacement`` where yaw is 0 all along; the same unless given.
        rotation_only: turn on the spot.

    Returns:
        Camera-to-world poses ``[n, 4, 4]``, OpenCV axes, float64.
    """
    pitch, yaw, displacement = (np.asarray(a, np.float64) for a in (pitch, yaw, displacement))
    turns = yaw.any()
    if zoom is not None and not turns:
        displacement = np.asarray(zoom, np.float64)
    # Released code rounds the angles, in radians, to float32.
    a, b = (np.radians(angle).astype(np.float32).astype(np.float64) for angle in (pitch, yaw))
    cos_a, sin_a, cos_b, sin_b = np.cos(a), np.sin(a), np.cos(b), np.sin(b)
    poses = np.zeros((len(a), 4, 4))
    poses[:, 0, :3] = np.stack([cos_b, -sin_b * sin_a, sin_b * cos_a], axis=-1)
    poses[:, 1, :3] = np.stack([np.zeros_like(a), cos_a, sin_a], axis=-1)
    poses[:, 2, :3] = np.stack([-sin_b, -cos_b * sin_a, cos_b * cos_a], axis=-1)
    poses[:, 3, 3] = 1.0
    if not turns and not pitch.any():
        poses[:, 2, 3] = displacement
    elif not rotation_only:
        around = np.stack([-cos_a * sin_b, -sin_a, 1 - cos_a * cos_b], axis=-1)
        poses[:, :3, 3] = displacement[:, None] * around
    return poses


def read_trajectory(path: str | os.PathLike) -> Trajectory:
    """Read a path of three lines: keys of pitch, yaw and displacement, separated by spaces (v1).

    Raises:
        FileNotFoundError: no such file.
        ValueError: another number of lines, something that is no number, or a path of v1.5.
    """
    rows = list(_rows(path).values())
    if len(rows) != len(_LINES):
        hint = "; a matrix a line is the format of v1.5" if {len(row) for row in rows} == {_MATRIX} else ""
        raise ValueError(
            f"{path} has {len(rows)} lines of numbers; a path of v1 has three: pitch, yaw and displacement{hint}"
        )
    try:
        return Trajectory(**dict(zip(_LINES, map(tuple, rows))))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def read_target_poses(path: str | os.PathLike) -> np.ndarray:
    """Read a world-to-camera matrix a line, 16 numbers row by row (v1.5), as camera-to-world ``[n, 4, 4]``.

    Raises:
        FileNotFoundError: no such file.
        ValueError: lines of another length, matrices that are not rigid, or a path of v1.
    """
    rows = _rows(path)
    wrong = [line for line, row in rows.items() if len(row) != _MATRIX]
    if wrong:
        hint = "; three lines of keys are the format of v1" if len(rows) == len(_LINES) else ""
        raise ValueError(
            f"{path}: line {wrong[0]} has {len(rows[wrong[0]])} numbers; a path of v1.5 has {_MATRIX} a line, "
            f"the world-to-camera matrix of a frame row by row{hint}"
        )
    matrices = np.array(list(rows.values()), np.float64).reshape(-1, 4, 4)
    return inverse(validate_poses(matrices, name=f"world-to-camera matrices of {path}"))


def _rows(path: str | os.PathLike) -> dict[int, list[float]]:
    """Read the lines of a file that are not empty, by their numbers, which count from one."""
    if not os.path.exists(path):
        raise FileNotFoundError(f"no camera path at {path}")
    rows = {}
    for number, line in enumerate(read_text(path, limit=MAX_DATA).splitlines(), 1):
        try:
            row = [float(word) for word in line.split()]
        except ValueError as error:
            raise ValueError(f"{path}: line {number} is not a row of numbers ({error})") from None
        if row:
            rows[number] = row
        if len(rows) > MAX_FRAMES:
            raise ValueError(f"{path} has more than {MAX_FRAMES} lines; this is no camera path")
    if not rows:
        raise ValueError(f"{path} is empty; a camera path has a line of numbers at least")
    return rows
