"""COLMAP text models: ``images.txt`` (world-to-camera quaternions) and ``cameras.txt`` (lenses)."""

from pathlib import Path

import numpy as np

from worldkv_jax.cameras.formats.camera_file import CameraFile
from worldkv_jax.cameras.formats.ordering import by_name
from worldkv_jax.cameras.formats.tables import from_quaternions, lines_of, numbers, to_quaternions, write_text
from worldkv_jax.cameras.intrinsics import rescale_intrinsics
from worldkv_jax.cameras.poses import inverse
from worldkv_jax.files import make_folder
from worldkv_jax.readers import check_file, read_text
from worldkv_jax.readers.texts import MAX_DATA

KIND = "a folder of COLMAP's text model: images.txt and cameras.txt, world-to-camera"
# Places of fx, fy, cx, cy among the parameters; what is behind them is distortion.
_MODELS = {
    "SIMPLE_PINHOLE": (0, 0, 1, 2),
    "PINHOLE": (0, 1, 2, 3),
    "SIMPLE_RADIAL": (0, 0, 1, 2),
    "RADIAL": (0, 0, 1, 2),
    "OPENCV": (0, 1, 2, 3),
    "FULL_OPENCV": (0, 1, 2, 3),
}
_IMAGE = 10  # words of an image: id, quaternion, translation, camera, name


def _folder(path: Path) -> Path | None:
    places = (path, path / "sparse" / "0", path / "sparse") if path.is_dir() else (path.parent,)
    named = path.is_dir() or path.name in ("images.txt", "cameras.txt")
    return next((place for place in places if named and (place / "images.txt").is_file()), None)


def recognise(path: Path) -> bool:
    """Tell whether a path is such a folder, or one of its two files."""
    return _folder(path) is not None


def read(path: Path) -> CameraFile:
    """Read a model; images are ordered by the numbers in their names.

    Raises:
        FileNotFoundError: one of the two files is missing.
        ValueError: a damaged file, a lens that is no pinhole, or an image whose camera is missing.
    """
    folder = _folder(path) or path
    lenses = _read_lenses(check_file(folder / "cameras.txt", "COLMAP's lenses (cameras.txt)"))
    images = _read_images(check_file(folder / "images.txt", "COLMAP's images (images.txt)"))
    names = [name for _, _, name in images]
    try:
        order, notes = by_name(names)
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from None
    rows, used = np.array([images[i][0] for i in order]), [images[i][1] for i in order]
    missing = sorted(set(used) - lenses.keys())
    if missing:
        raise ValueError(f"{folder}: images have camera {missing[0]}, which cameras.txt does not have")
    size = lenses[used[0]][1]
    lens = [rescale_intrinsics(lenses[camera][0], size, original=lenses[camera][1]) for camera in used]
    bent = any(lenses[camera][2] for camera in used)
    notes += ("the lens has distortion, which is left out; undistort the pictures",) * bent
    if len({lenses[camera][1] for camera in used}) > 1:
        notes += (f"pictures have several sizes; lenses are those of {size[0]}x{size[1]} pixels",)
    try:
        to_camera = from_quaternions(rows[:, [1, 2, 3, 0]], rows[:, 4:], name="images.txt")
        return CameraFile(
            poses=inverse(to_camera),
            intrinsics=np.array(lens),
            size=size,
            names=tuple(names[i] for i in order),
            notes=notes,
        )
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from None


def _read_lenses(path: Path) -> dict[str, tuple[np.ndarray, tuple[int, int], bool]]:
    lenses = {}
    for line, words in lines_of(path):
        if len(words) < 5:
            raise ValueError(f"{path}, line {line}: expected id, model, width, height and parameters")
        places = _MODELS.get(words[1])
        if places is None:
            raise ValueError(f"{path}, line {line}: lens {words[1]} is no pinhole; undistort the pictures with COLMAP")
        width, height, *parameters = numbers(path, line, words[2:])
        if len(parameters) <= max(places) or min(width, height) < 1:
            raise ValueError(f"{path}, line {line}: no lens of model {words[1]}")
        lens = np.array([parameters[place] for place in places])
        lenses[words[0]] = lens, (int(height), int(width)), any(parameters[max(places) + 1 :])
    if not lenses:
        raise ValueError(f"{path} has no lenses")
    return lenses


def _read_images(path: Path) -> list[tuple[np.ndarray, str, str]]:
    """Return quaternion (w, x, y, z) and translation, camera and name of each image."""
    images, points = [], False
    for number, line in enumerate(read_text(path, limit=MAX_DATA).splitlines(), 1):
        words = line.split(maxsplit=_IMAGE - 1)
        if words and words[0].startswith("#"):
            continue
        if points and not (len(words) == _IMAGE and not _is_number(words[-1].split()[-1])):
            points = False  # of the image before; the line is empty where it has none
            continue
        if not words:
            continue
        if len(words) != _IMAGE:
            raise ValueError(
                f"{path}, line {number}: {len(words)} words, expected {_IMAGE}: id, quaternion, "
                "translation, camera and name"
            )
        images.append((numbers(path, number, words[1:8]), words[8], words[9].strip()))
        points = True
    if not images:
        raise ValueError(f"{path} has no images")
    return images


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def write(path: Path, cameras: CameraFile) -> Path:
    """Write a folder, one lens for every one that differs.

    Raises:
        ValueError: there is no lens, or its picture's size is not known.
    """
    lens, size = cameras.own_lens("a COLMAP model")
    kinds, used = np.unique(lens, axis=0, return_inverse=True)
    lenses = [
        f"{i} PINHOLE {size[1]} {size[0]} {' '.join(map(repr, kind.tolist()))}" for i, kind in enumerate(kinds, 1)
    ]
    names = cameras.names or [f"{i:06d}.png" for i in range(len(cameras))]
    to_camera = inverse(cameras.poses)
    rows = np.column_stack([to_quaternions(to_camera)[:, [3, 0, 1, 2]], to_camera[:, :3, 3]])
    images = [
        f"{i} {' '.join(map(repr, row.tolist()))} {camera + 1} {name}\n"
        for i, (row, camera, name) in enumerate(zip(rows, used.ravel(), names), 1)
    ]
    make_folder(path)
    write_text(path / "cameras.txt", "\n".join(["# CAMERA_ID MODEL WIDTH HEIGHT PARAMS", *lenses, ""]))
    write_text(path / "images.txt", "\n".join(["# IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME", *images, ""]))
    write_text(path / "points3D.txt", "# no points\n")
    return path
