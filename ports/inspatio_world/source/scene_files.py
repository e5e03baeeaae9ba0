"""Scene folders: our own plain files, and what the released code of v1 and v1.5 leaves behind.

==============  =====================================================================================
what            the first of these that is there
==============  =====================================================================================
frames          ``frames.npy`` (uint8), ``frames/`` (pictures), ``video.mp4``; v1.5: ``input/video.mp4``,
                ``input/view_*`` (pictures)
depth           ``depth.npy``; v1: ``depth/*.png`` (RGBA); v1.5: ``depth/depth.mp4``, ``depth/depth*.png``
intrinsics      ``intrinsics.npy``; v1: ``intrinsic.txt``; v1.5: ``depth/source_intrinsics.txt``
poses           ``poses.npy`` (camera-to-world); v1: ``extrinsic.txt``; v1.5: ``depth/source_tcw.txt``
                (both world-to-camera)
path            v1.5: ``input/target_tcw.txt`` (optional; else give a trajectory)
prompt          ``prompt.safetensors``, ``prompt.npy`` (embeddings), ``prompt.txt``, ``input/prompt.txt`` (optional)
``scene.json``  v1.5: kind, fps and valid_frames (optional)
==============  =====================================================================================

Pictures are ordered by the numbers in their names. Depth pictures of 16 bits and depth videos need a ``metadata.txt``
with their range beside them.
"""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from ports.inspatio_world.source.depth_files import (
    read_depth_array,
    read_depth_pictures,
    read_depth_video,
    write_depth_picture,
)
from ports.inspatio_world.source.scene import Scene
from ports.inspatio_world.source.trajectory import read_target_poses
from worldkv_jax.cameras import inverse
from worldkv_jax.cameras.formats.json_fields import is_number
from worldkv_jax.media import read_picture, read_video
from worldkv_jax.readers import find_series, numbers_of, read_array, read_json, read_text
from worldkv_jax.readers.texts import MAX_DATA

MOST_FRAMES = 1000
"""Frames of a source that are read, as in the released code."""
_STILLS = (1, 4)  # numbers of frames that are images, unless scene.json says otherwise
_PICTURES = ("*.png", "*.jpg", "*.jpeg", "*.webp", "*.bmp", "*.tif", "*.tiff")

Tell = Callable[[str], object]
"""Is told of what was left out or is in doubt."""


def read_scene(folder: str | os.PathLike, *, depth_scale: float = 1.0) -> Scene:
    """Read a scene folder.

    Args:
        folder: see above.
        depth_scale: what depths are multiplied by, to bring them to the unit of the poses.

    Raises:
        FileNotFoundError: the folder, or a part that is needed, is missing.
        ValueError: a file is damaged or of another kind, or parts do not fit together.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"no scene folder at {folder}; give one with frames, depth, intrinsics and poses")
    if not (np.isfinite(depth_scale) and depth_scale > 0):
        raise ValueError(f"depth_scale={depth_scale} is not a positive number")
    settings = _read_settings(folder / "scene.json")
    notes: list[str] = []
    read = {name: _read(folder, name, notes.append) for name in _PARTS}
    _check_numbers(folder)
    if max(len(array) for array in read.values() if array.ndim > 1) > MOST_FRAMES:
        notes.append(f"the source has more than {MOST_FRAMES} frames; the first {MOST_FRAMES} are used")
    frames, depth, intrinsics, poses = (a[:MOST_FRAMES] if a.ndim > 1 else a for a in read.values())
    target = folder / "input" / "target_tcw.txt"
    try:
        return Scene(
            frames=frames,
            depth=depth * np.float32(depth_scale),
            intrinsics=intrinsics,
            poses=poses,
            targets=read_target_poses(target) if target.is_file() else None,
            kind=settings.get("kind", "image" if len(frames) in _STILLS else "video"),
            prompt=_read_prompt(folder),
            fps=settings.get("fps"),
            valid_frames=settings.get("valid_frames"),
            notes=tuple(notes),
        )
    except ValueError as error:
        raise ValueError(f"scene folder {folder}: {error}") from None


def write_scene(folder: str | os.PathLike, scene: Scene) -> Path:
    """Write a scene as plain files: ``frames/*.png``, ``depth/*.png``, ``intrinsics.npy`` and ``poses.npy``."""
    folder = Path(folder)
    for name in ("frames", "depth"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for index, (frame, depth) in enumerate(zip(scene.frames, scene.depth)):
        Image.fromarray(frame).save(folder / "frames" / f"{index:04d}.png")
        write_depth_picture(folder / "depth" / f"{index:04d}.png", depth)
    np.save(folder / "intrinsics.npy", scene.intrinsics)
    np.save(folder / "poses.npy", scene.poses)
    if scene.prompt is not None:
        (folder / "prompt.txt").write_text(scene.prompt, encoding="utf-8")
    return folder


# ---- parts of a scene ----


def _pictures(paths: list[Path], tell: Tell) -> np.ndarray:
    frames = []
    for path in paths[: MOST_FRAMES + 1]:
        frames.append(read_picture(path, tell=tell))
        if frames[-1].shape != frames[0].shape:
            raise ValueError(f"{path} is {frames[-1].shape[:2]} pixels, {paths[0].name} {frames[0].shape[:2]}")
    return np.stack(frames)


def _video(paths: list[Path], tell: Tell) -> np.ndarray:
    return read_video(paths[0], limit=MOST_FRAMES, tell=tell)[0]


def _matrices(rows: int, columns: int) -> Callable[[list[Path], Tell], np.ndarray]:
    def read(paths: list[Path], tell: Tell) -> np.ndarray:
        try:
            numbers = np.array(read_text(paths[0], limit=MAX_DATA).split(), np.float64)
        except ValueError as error:
            raise ValueError(f"{paths[0]} is not a table of numbers: {error}") from None
        if not numbers.size or numbers.size % (rows * columns):
            raise ValueError(
                f"{paths[0]} has {numbers.size} numbers, expected {rows} rows of {columns} for every frame"
            )
        return numbers.reshape(-1, rows, columns)

    return read


def _lens(matrices: np.ndarray) -> np.ndarray:
    """Take fx, fy, cx and cy of matrices ``[n, 3, 3]`` or ``[3, 3]``; leave rows as they are."""
    if matrices.shape[-2:] != (3, 3) or matrices.ndim == 1:
        return matrices
    return np.stack([matrices[..., i, j] for i, j in ((0, 0), (1, 1), (0, 2), (1, 2))], axis=-1)


def _to_camera_to_world(matrices: np.ndarray) -> np.ndarray:
    poses = np.zeros((len(matrices), 4, 4))
    poses[:, : matrices.shape[1]], poses[:, 3, 3] = matrices, 1.0
    return inverse(poses)


def _array(paths: list[Path], tell: Tell) -> np.ndarray:
    return read_array(paths[0])


Reader = Callable[[list[Path], Tell], np.ndarray]
_PARTS: dict[str, dict[str, Reader]] = {
    "frames": {
        "frames.npy": _array,
        "frames/*": _pictures,
        "video.mp4": _video,
        "input/video.mp4": _video,
        "input/view_*": _pictures,
    },
    "depth": {
        "depth.npy": lambda paths, tell: read_depth_array(paths[0]),
        "depth/depth.mp4": lambda paths, tell: read_depth_video(paths[0], limit=MOST_FRAMES, tell=tell),
        "depth/*.png": lambda paths, tell: read_depth_pictures(paths[: MOST_FRAMES + 1]),
    },
    "intrinsics": {
        "intrinsics.npy": lambda paths, tell: _lens(_array(paths, tell)),
        "intrinsic.txt": lambda paths, tell: _lens(_matrices(3, 3)(paths, tell)),
        "depth/source_intrinsics.txt": lambda paths, tell: _lens(_matrices(3, 3)(paths, tell)),
    },
    "poses": {
        "poses.npy": _array,
        "extrinsic.txt": lambda paths, tell: _to_camera_to_world(_matrices(3, 4)(paths, tell)),
        "depth/source_tcw.txt": lambda paths, tell: _to_camera_to_world(_matrices(4, 4)(paths, tell)),
    },
}


def _find(folder: Path, place: str, tell: Tell) -> list[Path]:
    """Find one file, or the series that a pattern stands for; ``*`` at the end stands for any picture."""
    parent, name = (folder / place).parent, Path(place).name
    if not name.endswith("*"):
        return find_series(parent, name, tell=tell)
    return find_series(parent, *(name[:-1] + picture for picture in _PICTURES), tell=tell)


def _read(folder: Path, part: str, tell: Tell) -> np.ndarray:
    for place, read in _PARTS[part].items():
        paths = _find(folder, place, tell)
        if paths:
            return read(paths, tell)
    raise FileNotFoundError(f"scene folder {folder} has no {part}; expected {', '.join(_PARTS[part])}")


def _check_numbers(folder: Path) -> None:
    """Compare the numbers of pictures with those of their depth: of as many, each must belong to the other."""
    frames, depth = (numbers_of(_find(folder, place, lambda _: None)) for place in ("frames/*", "depth/*.png"))
    if frames and depth and len(frames) == len(depth) and np.ptp(np.subtract(frames, depth)):
        at = int(np.argmax(np.subtract(frames, depth) != frames[0] - depth[0]))
        raise ValueError(
            f"scene folder {folder}: picture {frames[at]} of frames/ stands beside picture {depth[at]} of depth/; give "
            "depth for the same frames"
        )


def _read_prompt(folder: Path) -> str | None:
    for name in ("prompt.safetensors", "prompt.npy"):
        if (folder / name).is_file():
            return str(folder / name)
    for name in ("prompt.txt", "input/prompt.txt"):
        if (folder / name).is_file():
            return read_text(folder / name).strip()
    return None


def _read_settings(path: Path) -> dict:
    if not path.is_file():
        return {}
    settings, kinds = read_json(path), ("video", "image")
    if not isinstance(settings, dict) or settings.get("kind", "video") not in kinds:
        raise ValueError(f"{path} describes no scene; expected an object whose kind is {' or '.join(kinds)}")
    fps, valid = settings.get("fps"), settings.get("valid_frames")
    if fps is not None and not (is_number(fps) and 0 < fps <= 1000):
        raise ValueError(f"{path}: fps is {fps!r}, expected a number of frames a second")
    if valid is not None and not (is_number(valid) and valid >= 1 and valid == int(valid)):
        raise ValueError(f"{path}: valid_frames is {valid!r}, expected a whole number of frames")
    return settings if valid is None else {**settings, "valid_frames": int(valid)}
