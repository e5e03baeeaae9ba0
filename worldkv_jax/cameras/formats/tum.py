"""TUM trajectories, as SLAM programs write them: time, position and quaternion a row, camera-to-world."""

from pathlib import Path

import numpy as np

from worldkv_jax.cameras.formats.camera_file import CameraFile
from worldkv_jax.cameras.formats.tables import count_columns, from_quaternions, read_rows, to_quaternions, write_text

KIND = "TUM trajectory: time in seconds, tx ty tz, qx qy qz qw, camera-to-world"
_COLUMNS = 8


def recognise(path: Path) -> bool:
    """Tell whether a path is such a file, by the length of its rows."""
    return path.is_file() and path.suffix.lower() in (".txt", ".tum", ".csv", "") and count_columns(path) == _COLUMNS


def read(path: Path) -> CameraFile:
    """Read a file.

    Raises:
        ValueError: rows of other lengths, times that do not increase, or quaternions that are none.
    """
    rows = read_rows(path, _COLUMNS, KIND)
    if (np.diff(rows[:, 0]) <= 0).any():
        row = int((np.diff(rows[:, 0]) <= 0).argmax())
        raise ValueError(f"{path}: the times do not increase after row {row}; sort them and drop repeated ones")
    poses = from_quaternions(rows[:, 4:], rows[:, 1:4], name=str(path))
    return CameraFile(poses=poses, times=rows[:, 0])


def write(path: Path, cameras: CameraFile) -> Path:
    """Write a file; a lens has no place in it."""
    rows = np.column_stack([cameras.seconds(), cameras.poses[:, :3, 3], to_quaternions(cameras.poses)])
    lines = [" ".join(map(repr, row)) for row in rows.tolist()]
    return write_text(path, "\n".join(["# timestamp tx ty tz qx qy qz qw", *lines, ""]))
