"""Camera folders of LingBot-World and WorldKV: ``poses.npy`` and ``intrinsics.npy``."""

from pathlib import Path

from worldkv_jax.cameras.folders import read_track, write_track
from worldkv_jax.cameras.formats.camera_file import CameraFile
from worldkv_jax.cameras.intrinsics import DEFAULT_SIZE, check_lens

KIND = "a folder with poses.npy (camera-to-world) and intrinsics.npy (pixels of 480x832), as LingBot-World has it"


def recognise(path: Path) -> bool:
    """Tell whether a path is such a folder."""
    return (path / "poses.npy").is_file()


def read(path: Path) -> CameraFile:
    """Read a folder, see `worldkv_jax.cameras.read_track`; a lens that is not of 480 x 832 is of unknown size."""
    track, doubts = read_track(path), []
    try:
        check_lens(track.intrinsics, DEFAULT_SIZE, tell=doubts.append)
    except ValueError as error:
        doubts.append(f"{error}; of which size it is, is not known")
    size = None if doubts else DEFAULT_SIZE
    return CameraFile(poses=track.poses, intrinsics=track.intrinsics, size=size, notes=tuple(doubts))


def write(path: Path, cameras: CameraFile) -> Path:
    """Write a folder; the lens is brought to 480 x 832 pixels."""
    return write_track(path, cameras.track(DEFAULT_SIZE))
