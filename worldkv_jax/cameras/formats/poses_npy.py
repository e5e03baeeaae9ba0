"""Poses alone: one ``.npy`` file of matrices, 4 x 4 or 3 x 4, flat or not."""

from pathlib import Path

import numpy as np

from worldkv_jax.cameras.checks import MAX_FRAMES
from worldkv_jax.cameras.formats.camera_file import CameraFile
from worldkv_jax.cameras.formats.matrices import completed
from worldkv_jax.files import replacing
from worldkv_jax.readers import read_array

KIND = "a .npy file of camera-to-world matrices [n, 4, 4] or [n, 3, 4]"


def recognise(path: Path) -> bool:
    """Tell whether a path is such a file, by its suffix; of an archive of several arrays reading tells."""
    return path.suffix.lower() in (".npy", ".npz") and path.is_file()


def read(path: Path) -> CameraFile:
    """Read the matrices.

    Raises:
        ValueError: another file or shape, or matrices that are not rigid.
    """
    array = read_array(path, what="poses", most=(16 * MAX_FRAMES, f"{MAX_FRAMES:,} frames have")).astype(np.float64)
    try:
        return CameraFile(poses=completed(array))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def write(path: Path, cameras: CameraFile) -> Path:
    """Write matrices ``[n, 4, 4]``, float64."""
    with replacing(path) as draft, open(draft, "wb") as file:
        np.save(file, cameras.poses)
    return path
