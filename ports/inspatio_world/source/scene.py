"""A source: frames with depth and cameras, checked."""

import dataclasses
from typing import Literal

import numpy as np
from PIL import Image

from ports.wan.latents import CELL
from ports.wan.nn.patches import PATCH
from worldkv_jax.cameras import check_lens, rescale_intrinsics, validate_intrinsics, validate_poses

Kind = Literal["video", "image"]
_DEPTHS = (1e-3, 1e3)  # that a scene's median may have, scene units: beyond, the splat cannot tell near from far
STEP = CELL * PATCH
"""Height and width of frames are multiples of this."""


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Scene:
    """What is known of a source.

    Raises:
        ValueError: arrays that do not fit together, invalid cameras, or depth that cannot be right.
    """

    frames: np.ndarray
    """uint8 ``[n, h, w, 3]``."""
    depth: np.ndarray
    """float32 ``[n, h, w]`` along the viewing direction, scene units; 0 where it is not known."""
    intrinsics: np.ndarray
    """fx, fy, cx, cy in pixels ``[n, 4]``, where pixel centres are whole numbers; one row ``[4]`` is repeated."""
    poses: np.ndarray
    """Camera-to-world ``[n, 4, 4]``."""
    targets: np.ndarray | None = None
    """Cameras to render, camera-to-world ``[t, 4, 4]``, where the scene has a path of its own (v1.5)."""
    kind: Kind = "video"
    """Frames of a video, or images of one moment."""
    prompt: str | None = None
    fps: float | None = None
    valid_frames: int | None = None
    """Frames of the result that count, where the path is longer (v1.5)."""
    notes: tuple[str, ...] = ()
    """What was mended, to be said aloud."""

    def __post_init__(self):
        frames = np.asarray(self.frames)
        if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or not frames.size:
            raise ValueError(f"frames are {frames.dtype} {frames.shape}, expected uint8 [n, height, width, 3]")
        depth = np.asarray(self.depth, np.float32)
        if depth.shape != frames.shape[:3]:
            raise ValueError(
                f"depth has shape {depth.shape}, expected that of the frames, {frames.shape[:3]}: one depth image a "
                "frame, of the same size; resize it without interpolation"
            )
        depth, notes = _usable(depth)
        intrinsics = validate_intrinsics(self.intrinsics)
        if intrinsics.ndim == 1:
            intrinsics = np.tile(intrinsics, (len(frames), 1))
        poses = validate_poses(self.poses, name="source poses")
        for name, rows in (("intrinsics", intrinsics), ("source poses", poses)):
            if len(rows) != len(frames):
                raise ValueError(f"got {len(rows)} {name} for {len(frames)} frames; give one a frame")
        doubts: list[str] = []
        check_lens(intrinsics, frames.shape[1:3], tell=doubts.append)
        if self.targets is not None:
            object.__setattr__(self, "targets", validate_poses(self.targets, name="target poses"))
        for name, value in {"depth": depth, "intrinsics": intrinsics, "poses": poses}.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "notes", (*self.notes, *notes, *doubts))

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.frames.shape[1:3]

    def resized(self, size: tuple[int, int]) -> "Scene":
        """Stretch the frames to another height and width; depth takes the nearest pixel."""
        if size == self.size:
            return self
        height, width = size
        frames = [
            np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.LANCZOS))
            for frame in self.frames
        ]
        rows, columns = ((np.arange(new) * old // new) for new, old in zip(size, self.size))
        return dataclasses.replace(
            self,
            frames=np.stack(frames),
            depth=self.depth[:, rows[:, None], columns],
            intrinsics=rescale_intrinsics(self.intrinsics, size, original=self.size),
            notes=(*self.notes, f"frames of {self.size[0]}x{self.size[1]} pixels were stretched to {height}x{width}"),
        )


def _usable(depth: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Set depths that are none to 0, and say how many."""
    known = np.isfinite(depth) & (depth > 0)
    for frame in np.flatnonzero(~known.any(axis=(1, 2))):
        raise ValueError(f"depth of frame {frame} has no finite number above 0; nothing of it can be seen elsewhere")
    median = float(np.median(depth[known]))
    if not _DEPTHS[0] <= median <= _DEPTHS[1]:
        raise ValueError(
            f"the median depth is {median:g} scene units, expected {_DEPTHS[0]:g} to {_DEPTHS[1]:g}: depth and poses "
            "must be in one unit such as metres; --depth-scale 0.001 turns millimetres into metres"
        )
    if known.all():
        return depth, ()
    share = 1 - known.mean()
    note = f"{share:.2%} of the source's pixels have no depth (zero, negative or not finite): they are not drawn"
    return np.where(known, depth, np.float32(0)), (note,)
