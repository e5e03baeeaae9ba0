"""Camera paths in the files that people have: one reader a format, all to camera-to-world poses with OpenCV axes.

Docs: ``docs/cameras.md`` has the table of axes and directions.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from worldkv_jax.cameras.formats import (
    camera_folder,
    colmap,
    matrices_json,
    minecraft,
    nerfstudio,
    poses_npy,
    realestate10k,
    tum,
)
from worldkv_jax.cameras.formats.camera_file import CameraFile
from worldkv_jax.names import check_name
from worldkv_jax.readers import check_file, what_it_is

__all__ = ["FORMATS", "CameraFile", "format_of", "read_cameras", "write_cameras"]

FORMATS: Mapping[str, ModuleType] = {
    "folder": camera_folder,
    "npy": poses_npy,
    "realestate10k": realestate10k,
    "nerfstudio": nerfstudio,
    "colmap": colmap,
    "tum": tum,
    "json": matrices_json,
    "minecraft": minecraft,
}
"""Modules by name. Each has ``KIND`` (one line), ``recognise(path)``, ``read(path)`` and, most of them,
``write(path, cameras)``."""


def read_cameras(path: str | os.PathLike[str], *, format: str | None = None) -> CameraFile:
    """Read a camera path in any of the formats.

    Args:
        path: a file or folder.
        format: a name of ``FORMATS``; by default what the content looks like.

    Raises:
        FileNotFoundError: nothing is there, or a file beside it is missing.
        ValueError: it is a device or a pipe, damaged, of no format known here, or holds no path; the text names it.
    """
    path = Path(path)
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path} is not there; expected a camera path, see worldkv cameras --help")
    if not os.path.isdir(path):
        check_file(path, "a camera path")  # a pipe can be read once, and formats are found by looking
    format = format or format_of(path)
    if format is None:
        found = what_it_is(path) if path.is_file() else _listing(path)
        kinds = "".join(f"\n  {name}: {module.KIND}" for name, module in FORMATS.items())
        raise ValueError(f"{path} is no camera path known here{f' ({found})' if found else ''}; known are{kinds}")
    return FORMATS[check_name("camera format", format, FORMATS)].read(path)


def format_of(path: str | os.PathLike[str]) -> str | None:
    """Return the name of the format that a file or folder looks like; ``None`` for none of them."""
    return next((name for name, module in FORMATS.items() if module.recognise(Path(path))), None)


def write_cameras(path: str | os.PathLike[str], cameras: CameraFile, *, format: str) -> Path:
    """Write a camera path in one of the formats, whole or not at all.

    Raises:
        FileExistsError: something is there already.
        ValueError: a format that is only read, or needs what the path does not have, such as a lens.
    """
    writers = {name for name, module in FORMATS.items() if hasattr(module, "write")}
    module = FORMATS[check_name("camera format that can be written", format, writers)]
    if os.path.lexists(path):
        raise FileExistsError(f"{path} is there already; choose another name")
    return module.write(Path(path), cameras)


def _listing(folder: Path) -> str:
    if (folder / "images.bin").exists() or (folder / "sparse" / "0" / "images.bin").exists():
        return "COLMAP's binary model; write it as text: colmap model_converter --output_type TXT"
    names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    return f"a folder with {', '.join(names[:5]) or 'nothing in it'}"
