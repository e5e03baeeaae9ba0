"""Scene folders: our own plain files, and what the released code of v1 and v1.5 leaves behind.

=============  ======================================================================================
what           the first of these that is there
=============  ======================================================================================
frames         ``frames.npy`` (uint8), ``frames/*.png|jpg``, ``video.mp4``; v1.5: ``input/video.mp4``,
               ``input/view_*.png``
depth          ``depth.npy``; v1: ``depth/*.png`` (RGBA); v1.5: ``depth/depth.mp4``, ``depth/depth*.png``
intrinsics     ``intrinsics.npy``; v1: ``intrinsic.txt``; v1.5: ``depth/source_intrinsics.txt``
poses          ``poses.npy`` (camera-to-world); v1: ``extrinsic.txt``; v1.5: ``depth/source_tcw.txt``
               (both world-to-camera)
path           v1.5: ``input/target_tcw.txt`` (optional; else give a trajectory)
prompt         ``prompt.safetensors``, ``prompt.npy`` (embeddings), ``prompt.txt``, ``input/prompt.txt`` (optional)
``scene.json``  v1.5: kind, fps and valid_frames (optional)
=============  ======================================================================================

Depth pictures of 16 bits and depth videos need a ``metadata.txt`` with their range beside them.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from ports.inspatio_world.source.depth_files import (
    read_depth_array,
    read_depth_pictures,
    read_depth_video,
    write_depth_picture,
)
from ports.inspatio_world.source.scene import Scene
from ports.inspatio_world.source.trajectory import read_target_poses
from worldkv_jax.cameras import inverse
from worldkv_jax.media import read_video

MOST_FRAMES = 1000
"""Frames of a source that are read, as in the released code."""
_STILLS = (1, 4)  # numbers of frames that are images, unless scene.json says otherwise


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
    frames, depth, intrinsics, poses = (_read(folder, name) for name in ("frames", "depth", "intrinsics", "poses"))
    notes = ()
    if len(frames) > MOST_FRAMES:
        notes = (f"the source has {len(frames)} frames; the first {MOST_FRAMES} are used",)
    per_frame = [a[:MOST_FRAMES] if a.ndim > 1 else a for a in (frames, depth, intrinsics, poses)]
    frames, depth, intrinsics, poses = per_frame
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
            notes=notes,
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
        (folder / "prompt.txt").write_text(scene.prompt)
    return folder


# ---- parts of a scene ----


def _pictures(paths: list[Path]) -> np.ndarray:
    frames = []
    for path in paths[: MOST_FRAMES + 1]:
        try:
            with Image.open(path) as image:
                frames.append(np.asarray(image.convert("RGB")))
        except UnidentifiedImageError:
            raise ValueError(f"{path} is not a picture that can be read") from None
        if frames[-1].shape != frames[0].shape:
            raise ValueError(f"{path} is {frames[-1].shape[:2]} pixels, {paths[0].name} {frames[0].shape[:2]}")
    return np.stack(frames)


def _matrices(rows: int, columns: int) -> Callable[[list[Path]], np.ndarray]:
    def read(paths: list[Path]) -> np.ndarray:
        try:
            numbers = np.array(paths[0].read_text().split(), np.float64)
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


def _array(paths: list[Path]) -> np.ndarray:
    try:
        array = np.load(paths[0], allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{paths[0]} cannot be read as an array of numbers: {error}") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise ValueError(f"{paths[0]} does not hold one array of real numbers; save it with numpy.save")
    return array


_PARTS: dict[str, dict[str, Callable[[list[Path]], np.ndarray]]] = {
    "frames": {
        "frames.npy": _array,
        "frames/*.png": _pictures,
        "frames/*.jpg": _pictures,
        "video.mp4": lambda paths: read_video(paths[0])[0],
        "input/video.mp4": lambda paths: read_video(paths[0])[0],
        "input/view_*.png": _pictures,
    },
    "depth": {
        "depth.npy": lambda paths: read_depth_array(paths[0]),
        "depth/depth.mp4": lambda paths: read_depth_video(paths[0]),
        "depth/*.png": read_depth_pictures,
    },
    "intrinsics": {
        "intrinsics.npy": lambda paths: _lens(_array(paths)),
        "intrinsic.txt": lambda paths: _lens(_matrices(3, 3)(paths)),
        "depth/source_intrinsics.txt": lambda paths: _lens(_matrices(3, 3)(paths)),
    },
    "poses": {
        "poses.npy": _array,
        "extrinsic.txt": lambda paths: _to_camera_to_world(_matrices(3, 4)(paths)),
        "depth/source_tcw.txt": lambda paths: _to_camera_to_world(_matrices(4, 4)(paths)),
    },
}


def _read(folder: Path, part: str) -> np.ndarray:
    for place, read in _PARTS[part].items():
        paths = sorted(folder.glob(place))
        if paths:
            return read(paths)
    raise FileNotFoundError(f"scene folder {folder} has no {part}; expected {', '.join(_PARTS[part])}")


def _read_prompt(folder: Path) -> str | None:
    for name in ("prompt.safetensors", "prompt.npy"):
        if (folder / name).is_file():
            return str(folder / name)
    for name in ("prompt.txt", "input/prompt.txt"):
        if (folder / name).is_file():
            return (folder / name).read_text().strip()
    return None


def _read_settings(path: Path) -> dict:
    if not path.is_file():
        return {}
    try:
        settings = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    kinds = ("video", "image")
    if not isinstance(settings, dict) or settings.get("kind", "video") not in kinds:
        raise ValueError(f"{path} describes no scene; expected an object whose kind is {' or '.join(kinds)}")
    return settings
