"""``transforms.json`` of nerfstudio, instant-ngp and Blender: camera-to-world, OpenGL axes (x right, y up, z back)."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from worldkv_jax.cameras.formats.camera_file import CameraFile
from worldkv_jax.cameras.formats.json_fields import a_list, matrix, number, optional
from worldkv_jax.cameras.formats.ordering import by_name
from worldkv_jax.cameras.formats.tables import write_text
from worldkv_jax.readers import read_json

KIND = "nerfstudio's transforms.json: camera-to-world, OpenGL axes"
OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
"""Turns a camera with OpenGL axes into one with OpenCV axes, and back: y and z point the other way."""
_PINHOLES = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "PERSPECTIVE", "SIMPLE_RADIAL", "RADIAL")
_DISTORTION = ("k1", "k2", "k3", "k4", "p1", "p2")


def recognise(path: Path) -> bool:
    """Tell whether a path is such a file, or a folder with one."""
    if path.is_dir():
        return (path / "transforms.json").is_file()
    return path.suffix.lower() == ".json" and '"transform_matrix"' in _start(path)


def _start(path: Path) -> str:
    with open(path, "rb") as file:
        return file.read(1 << 20).decode(errors="replace").replace("\0", "")


def read(path: Path) -> CameraFile:
    """Read a file; frames are ordered by the numbers in the names of their pictures.

    Raises:
        ValueError: no such JSON, a lens that is no pinhole, or matrices that are not rigid.
    """
    path = path / "transforms.json" if path.is_dir() else path
    data = read_json(path)
    try:
        if not isinstance(data, dict):
            raise ValueError("expected an object with frames")
        frames = a_list(data, "frames")
        names = [str(frame.get("file_path", "")) if isinstance(frame, dict) else "" for frame in frames]
        order, notes = by_name(names)
        frames = [frames[i] for i in order]
        poses = np.stack([matrix(frame, "transform_matrix") for frame in frames]) @ OPENGL
        model = optional(data, "camera_model", "OPENCV")
        if model not in _PINHOLES:
            raise ValueError(f"camera_model {model!r} is no pinhole; undistort the pictures")
        if any(optional(part, key, 0) for part in (data, *frames) for key in _DISTORTION):
            notes += ("the lens has distortion, which is left out; undistort the pictures",)
        size, lens = _lens(data, frames)
        named = tuple(names[i] for i in order) if all(names) else None
        return CameraFile(poses=poses, intrinsics=lens, size=size, names=named, notes=notes)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _lens(data: dict[str, Any], frames: list[Any]) -> tuple[tuple[int, int] | None, np.ndarray | None]:
    """Return size and intrinsics; those of a frame go before those of all."""
    rows: list[list[float]] = []
    sizes: set[tuple[float | None, float | None]] = set()
    for frame in frames:
        part = {**data, **frame}
        width, height = (number(part, key) if key in part else None for key in ("w", "h"))
        sizes.add((height, width))
        if "fl_x" in part:
            fx = number(part, "fl_x")
            fy = number(part, "fl_y") if "fl_y" in part else fx
        elif "camera_angle_x" in part and width is not None:
            fx = width / 2 / np.tan(number(part, "camera_angle_x") / 2)
            fy = fx
        else:
            return None, None
        if "cx" in part and "cy" in part:
            centre = [number(part, key) for key in ("cx", "cy")]
        elif width is None or height is None:
            return None, None
        else:
            centre = [width / 2, height / 2]
        rows.append([fx, fy, *centre])
    if len(sizes) > 1:
        raise ValueError("frames have several sizes; bring them to one")
    height, width = sizes.pop()
    if width is None or height is None:
        return None, np.array(rows)
    return (round(height), round(width)), np.array(rows)


def write(path: Path, cameras: CameraFile) -> Path:
    """Write a file, of pictures with the names that the path has, or numbers.

    Raises:
        ValueError: there is no lens, or its picture's size is not known.
    """
    lens, size = cameras.own_lens("transforms.json")
    names = cameras.names or [f"images/{i:06d}.png" for i in range(len(cameras))]
    fields = ("fl_x", "fl_y", "cx", "cy")
    frames = [
        {"file_path": name, **dict(zip(fields, row.tolist())), "transform_matrix": (pose @ OPENGL).tolist()}
        for name, row, pose in zip(names, lens, cameras.poses)
    ]
    data = {"camera_model": "OPENCV", "w": size[1], "h": size[0], "frames": frames}
    return write_text(path, json.dumps(data, indent=1) + "\n")
