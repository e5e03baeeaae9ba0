"""Camera folders: ``poses.npy`` and ``intrinsics.npy``, the format LingBot-World and WorldKV read."""

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from worldkv_jax.cameras.checks import MAX_FRAMES, validate_poses
from worldkv_jax.cameras.intrinsics import validate_intrinsics
from worldkv_jax.readers import read_array

_FILES = ("poses.npy", "intrinsics.npy")


@dataclass(frozen=True, eq=False)
class CameraTrack:
    """A camera path with its lens: what a camera folder holds.

    Args:
        poses: camera-to-world ``[n, 4, 4]``, OpenCV axes.
        intrinsics: fx, fy, cx, cy in pixels ``[n, 4]``; one row ``[4]`` is repeated for all frames.

    Raises:
        ValueError: invalid poses or intrinsics, or different numbers of frames.
    """

    poses: np.ndarray
    intrinsics: np.ndarray

    def __post_init__(self):
        poses, intrinsics = validate_poses(self.poses), validate_intrinsics(self.intrinsics)
        if intrinsics.ndim == 1:
            intrinsics = np.tile(intrinsics, (len(poses), 1))
        if len(intrinsics) != len(poses):
            raise ValueError(
                f"intrinsics have {len(intrinsics)} rows for {len(poses)} poses; give one row a frame, or "
                "[4] for a lens that does not change"
            )
        object.__setattr__(self, "poses", poses)
        object.__setattr__(self, "intrinsics", intrinsics)

    def __len__(self) -> int:
        return len(self.poses)


def read_track(folder: str | os.PathLike[str], *, max_frames: int = MAX_FRAMES) -> CameraTrack:
    """Read a camera folder.

    Args:
        folder: holds ``poses.npy`` ``[n, 4, 4]`` and ``intrinsics.npy`` ``[n, 4]`` or ``[4]``.
        max_frames: longest path to accept. Sizes are read from the file header before memory is taken.

    Returns:
        Poses and intrinsics in float64, checked.

    Raises:
        FileNotFoundError: the folder or one of the files is missing.
        ValueError: a file is no plain .npy array of numbers, is cut short or too large, has the wrong shape,
            or holds numbers that are not finite or poses that are not rigid.
    """
    folder = Path(folder)
    poses, intrinsics = (_read(folder, name, max_frames) for name in _FILES)
    try:
        return CameraTrack(poses, intrinsics)
    except ValueError as error:
        raise ValueError(f"camera folder {folder}: {error}") from None


def _read(folder: Path, name: str, max_frames: int) -> np.ndarray:
    path = folder / name
    if not path.is_file():
        found = sorted(entry.name for entry in folder.glob("*.npy"))[:5] if folder.is_dir() else None
        near = "the folder does not exist" if found is None else f"the folder has {', '.join(found) or 'no .npy'}"
        raise FileNotFoundError(f"{path} is missing ({near}); a camera folder holds {' and '.join(_FILES)}")
    # 16 numbers a pose; sizes are read from the head of the file before memory is taken.
    return read_array(path, most=(16 * max_frames, f"{max_frames} frames have; pass max_frames to allow it")).astype(
        np.float64
    )


def write_track(folder: str | os.PathLike[str], track: CameraTrack, *, overwrite: bool = False) -> Path:
    """Write a camera folder, whole or not at all.

    A new folder appears under its name only when both files are complete. In a folder that exists, each file
    is replaced in one step and other files stay as they are.

    Args:
        folder: where to write; parents are made.
        track: poses and intrinsics; stored as float32, as the official files are, unless the path lies so far from the
            origin that float64 is needed to tell its positions apart.
        overwrite: replace ``poses.npy`` and ``intrinsics.npy`` if they are there.

    Returns:
        The folder.

    Raises:
        FileExistsError: there are such files already and ``overwrite`` is not set.
    """
    folder = Path(folder)
    taken = [name for name in _FILES if (folder / name).exists()]
    if taken and not overwrite:
        raise FileExistsError(f"{folder} already holds {' and '.join(taken)}; pass overwrite=True or another folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target, so that the rename stays on one file system.
    draft = Path(tempfile.mkdtemp(prefix=f"{folder.name}.draft-", dir=folder.parent))
    try:
        for name, array in zip(_FILES, (track.poses, track.intrinsics)):
            with open(draft / name, "wb") as file:
                np.save(file, _as_small(array), allow_pickle=False)
                file.flush()
                os.fsync(file.fileno())
        if folder.exists():
            for name in _FILES:
                os.replace(draft / name, folder / name)
        else:
            draft.chmod(0o755)  # mkdtemp makes it private
            os.rename(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder


def _as_small(array: np.ndarray) -> np.ndarray:
    small = array.astype(np.float32)
    extent = np.ptp(array, axis=0).max()
    return small if np.abs(small - array).max() <= 1e-5 * max(extent, 1e-3) else array
