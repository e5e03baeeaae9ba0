"""What a file of cameras holds, whatever its format."""

import dataclasses

import numpy as np

from worldkv_jax.cameras.checks import MAX_FRAMES, validate_poses
from worldkv_jax.cameras.folders import CameraTrack
from worldkv_jax.cameras.intrinsics import check_lens, rescale_intrinsics, validate_intrinsics

SHARES = (1, 1)
"""Stands for the size of the picture where intrinsics are shares of its sides."""
_RATE = 30.0  # frames a second, where a path has no times


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class CameraFile:
    """A camera path as a file has it, one row a frame.

    Raises:
        ValueError: poses that are not rigid, a lens that does not fit its picture, or other numbers of rows.
    """

    poses: np.ndarray
    """Camera-to-world ``[n, 4, 4]``, float64, OpenCV axes; in the file's own world."""
    intrinsics: np.ndarray | None = None
    """fx, fy, cx, cy ``[n, 4]`` in pixels of ``size``; one row ``[4]`` is repeated."""
    size: tuple[int, int] | None = None
    """Height and width of the pictures; `SHARES` where intrinsics are shares of them."""
    times: np.ndarray | None = None
    """Seconds ``[n]``."""
    names: tuple[str, ...] | None = None
    """Of the pictures."""
    notes: tuple[str, ...] = ()
    """What was left out or is in doubt, to be said aloud."""

    def __post_init__(self):
        poses = validate_poses(self.poses)
        object.__setattr__(self, "poses", poses)
        if len(poses) > MAX_FRAMES:
            raise ValueError(f"{len(poses):,} cameras are more than {MAX_FRAMES:,}; this is no camera path")
        if self.intrinsics is not None:
            doubts: list[str] = []
            lens = validate_intrinsics(self.intrinsics)
            if self.size not in (None, SHARES):
                check_lens(lens, self.size, tell=doubts.append)
            lens = np.tile(lens, (len(poses), 1)) if lens.ndim == 1 else lens
            object.__setattr__(self, "intrinsics", lens)
            object.__setattr__(self, "notes", (*self.notes, *doubts))
        for name in ("intrinsics", "times", "names"):
            rows = getattr(self, name)
            if rows is not None and len(rows) != len(poses):
                raise ValueError(f"{len(rows)} {name} for {len(poses)} cameras; expected one a camera")

    def __len__(self) -> int:
        return len(self.poses)

    def track(self, size: tuple[int, int]) -> CameraTrack:
        """Return poses and lens for pictures of a size.

        Raises:
            ValueError: the file has no lens, or does not say of which size.
        """
        return CameraTrack(self.poses, self.lens(size))

    def lens(self, size: tuple[int, int] | None = None) -> np.ndarray:
        """Return intrinsics ``[n, 4]`` for pictures of a size (height, width), by default the file's own.

        Raises:
            ValueError: the file has no lens, or says no size where one is needed.
        """
        if self.intrinsics is None:
            raise ValueError("the path has no lens; give one, such as its field of view")
        if size is None and self.size == SHARES:
            raise ValueError("the lens is in shares of the picture, whose size is not known; give the size")
        if size is None or size == self.size:
            return self.intrinsics
        if self.size is None:
            raise ValueError(
                "the lens is in pixels, but the file does not say of which size of picture; give that size"
            )
        return rescale_intrinsics(self.intrinsics, size, original=self.size)

    def own_lens(self, what: str) -> tuple[np.ndarray, tuple[int, int]]:
        """Return intrinsics ``[n, 4]`` and the height and width of the pictures, for a format that states both.

        Raises:
            ValueError: the file has no lens, or does not say of which size; the text names ``what`` needs it.
        """
        lens = self.lens()
        if self.size is None:
            raise ValueError(f"{what} needs the size of the pictures; give it")
        return lens, self.size

    def seconds(self) -> np.ndarray:
        """Return the time of each frame ``[n]``: those of the file, or of 30 frames a second."""
        return np.arange(len(self)) / _RATE if self.times is None else self.times
