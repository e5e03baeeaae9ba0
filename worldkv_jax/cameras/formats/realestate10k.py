"""RealEstate10K: a text file with an address, then a row a frame of time, lens in shares and world-to-camera matrix."""

from pathlib import Path

import numpy as np

from worldkv_jax.cameras.checks import validate_poses
from worldkv_jax.cameras.formats.camera_file import SHARES, CameraFile
from worldkv_jax.cameras.formats.tables import count_columns, read_rows, write_text
from worldkv_jax.cameras.poses import inverse

KIND = "RealEstate10K text: time in microseconds, fx fy cx cy as shares, two zeros, 3x4 world-to-camera"
_COLUMNS = 19


def recognise(path: Path) -> bool:
    """Tell whether a path is such a file, by the length of its rows."""
    return path.is_file() and path.suffix.lower() in (".txt", "") and count_columns(path) == _COLUMNS


def read(path: Path) -> CameraFile:
    """Read a file.

    Raises:
        ValueError: rows of other lengths, times that do not increase, or matrices that are not rigid.
    """
    rows = read_rows(path, _COLUMNS, KIND, header=True)
    times = rows[:, 0] / 1e6
    if (np.diff(times) <= 0).any():
        raise ValueError(f"{path}: the times do not increase after row {int((np.diff(times) <= 0).argmax())}")
    matrices = np.tile(np.eye(4), (len(rows), 1, 1))
    matrices[:, :3] = rows[:, 7:].reshape(-1, 3, 4)
    notes = ("the lens has distortion, which is left out",) if rows[:, 5:7].any() else ()
    try:
        # Checked before it is turned round: the inverse of what is not rigid means nothing.
        poses = inverse(validate_poses(matrices))
        return CameraFile(poses=poses, intrinsics=rows[:, 1:5], size=SHARES, times=times, notes=notes)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def write(path: Path, cameras: CameraFile) -> Path:
    """Write a file, without an address.

    Raises:
        ValueError: there is no lens, or its picture's size is not known.
    """
    lens = cameras.lens(SHARES)
    rows = [
        f"{round(time * 1e6)} {' '.join(map(repr, (*shares.tolist(), 0, 0, *matrix[:3].ravel().tolist())))}"
        for time, shares, matrix in zip(cameras.seconds(), lens, inverse(cameras.poses))
    ]
    return write_text(path, "\n".join(["converted", *rows, ""]))
