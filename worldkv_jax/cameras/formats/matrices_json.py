"""JSON with matrices: a lens ``K`` at a stated size and one matrix a frame, as R2M-Bench and others have it."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from worldkv_jax.cameras.checks import validate_poses
from worldkv_jax.cameras.formats.camera_file import CameraFile
from worldkv_jax.cameras.formats.json_fields import a_list, array, number, optional
from worldkv_jax.cameras.formats.matrices import as_matrices
from worldkv_jax.cameras.formats.tables import write_text
from worldkv_jax.cameras.poses import inverse
from worldkv_jax.readers import read_json

KIND = "JSON with K, width, height and camera-to-world matrices (R2M-Bench), OpenCV axes"
_TO_WORLD = ("c2w", "camera_to_world", "cam_to_world", "c2ws", "poses", "pose", "camera_poses", "matrices")
_TO_CAMERA = ("w2c", "world_to_camera", "world_to_cam", "w2cs", "extrinsics", "extrinsic")
_LENSES = ("K", "Ks", "intrinsics", "intrinsic", "camera_intrinsics")
_SIZES = ("image_size", "resolution", "size", "img_size")


def recognise(path: Path) -> bool:
    """Tell whether a path is a JSON file."""
    return path.suffix.lower() == ".json" and path.is_file()


def read(path: Path) -> CameraFile:
    """Read a file; whether matrices lead to the world or to the camera is what their name says.

    Raises:
        ValueError: no JSON with such names, or matrices that are not rigid.
    """
    data = read_json(path)
    try:
        frames = data if isinstance(data, list) else optional(data, "frames", None)
        shared = data if isinstance(data, dict) else {}
        poses = _poses(shared, frames)
        size = _size(shared) or _size(frames[0] if isinstance(frames, list) and frames else {})
        size, lens = _lens(shared, frames, size, len(poses))
        return CameraFile(poses=poses, intrinsics=lens, size=size)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _find(data: Any, names: tuple[str, ...]) -> str | None:
    return next((name for name in names if isinstance(data, dict) and name in data), None)


def _poses(shared: dict[str, Any], frames: Any) -> np.ndarray:
    """Return camera-to-world matrices, from one list or from every frame."""
    key = _find(shared, _TO_WORLD + _TO_CAMERA)
    if key is not None:
        values = array(a_list(shared, key), key)
    else:
        items = a_list({"frames": frames}, "frames")
        key = _find(items[0], _TO_WORLD + _TO_CAMERA)
        if key is None:
            raise ValueError(f"no matrices named {', '.join((*_TO_WORLD, *_TO_CAMERA))}, in all or in each of frames")
        values = array([optional(item, key, None) for item in items], key)
    matrices = as_matrices(values, key)
    if key in _TO_CAMERA:
        return inverse(validate_poses(matrices))  # what is not rigid has an inverse that means nothing
    return matrices


def _size(data: Any) -> tuple[int, int] | None:
    for height, width in (("height", "width"), ("h", "w"), ("H", "W")):
        if isinstance(data, dict) and height in data and width in data:
            return round(number(data, height)), round(number(data, width))
    key = _find(data, _SIZES)
    if key is None:
        return None
    sides = array(data[key], key)
    if sides.shape != (2,) or not (np.isfinite(sides).all() and (sides >= 1).all()):
        raise ValueError(f"{key} is {data[key]!r}, expected width and height")
    return int(sides[1]), int(sides[0])


def _lens(
    shared: dict[str, Any], frames: Any, size: tuple[int, int] | None, count: int
) -> tuple[tuple[int, int] | None, np.ndarray | None]:
    key = _find(shared, _LENSES)
    if key is not None:
        values = _as_lens(shared[key], key)
    elif isinstance(frames, list) and (key := _find(frames[0], _LENSES)) is not None:
        values = np.stack([_as_lens(optional(frame, key, None), key).reshape(-1, 4)[0] for frame in frames])
    elif _find(shared, ("fx",)):
        values = np.array([number(shared, name) for name in ("fx", "fy", "cx", "cy")])
    else:
        return size, None
    if values.ndim == 2 and len(values) == 1:
        values = values[0]
    middle = values.reshape(-1, 4)[0, 2:]
    if (
        size is not None
        and np.allclose(middle * 2, size, rtol=0.1)
        and not np.allclose(middle * 2, size[::-1], rtol=0.1)
    ):
        size = (size[1], size[0])  # a pair of height and width, not the other way round
    return size, values


def _as_lens(value: Any, key: str) -> np.ndarray:
    if isinstance(value, dict):
        return np.array([number(value, name) for name in ("fx", "fy", "cx", "cy")])
    values = array(value, key)
    if values.shape[-2:] == (3, 3):
        return np.stack([values[..., i, j] for i, j in ((0, 0), (1, 1), (0, 2), (1, 2))], axis=-1)
    if values.ndim == 0 or values.shape[-1] != 4 or values.ndim > 2:
        raise ValueError(f"{key} has shape {values.shape}, expected a 3 x 3 matrix or fx, fy, cx, cy")
    return values


def write(path: Path, cameras: CameraFile) -> Path:
    """Write ``K`` (one, or one a frame), ``width``, ``height`` and ``c2w``.

    Raises:
        ValueError: there is no lens, or its picture's size is not known.
    """
    lens, size = cameras.own_lens("this JSON")
    matrices = np.zeros((len(lens), 3, 3))
    for column, (i, j) in enumerate(((0, 0), (1, 1), (0, 2), (1, 2))):
        matrices[:, i, j] = lens[:, column]
    matrices[:, 2, 2] = 1.0
    same = (lens == lens[0]).all()
    data = {
        "width": size[1],
        "height": size[0],
        "K": (matrices[0] if same else matrices).tolist(),
        "c2w": cameras.poses.tolist(),
    }
    return write_text(path, json.dumps(data) + "\n")
