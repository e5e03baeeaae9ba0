"""Camera paths as users have them: folders of WorldKV and LingBot-World, files of other programs, or scripts."""

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ports.lingbot_world.config import MAPS, Control
from worldkv_jax.cameras import (
    DEFAULT_INTRINSICS,
    DEFAULT_SIZE,
    CameraTrack,
    check_lens,
    read_track,
    trajectory,
)
from worldkv_jax.cameras.formats import format_of, read_cameras
from worldkv_jax.readers import find_series, looks_like_path, read_array

KEYS = MAPS["act"] - MAPS["cam"] // 2
"""Columns of a table of pressed keys: W, A, S, D."""


class CameraPath(NamedTuple):
    """A camera path, one row a video frame."""

    track: CameraTrack
    actions: np.ndarray | None
    """``[n, 4]`` keys W, A, S, D that are pressed, for checkpoints that are steered by them."""


def read_path(
    text: str, control: Control, *, frames: int | None, tell: Callable[[str], object] = warnings.warn
) -> CameraPath:
    """Read a camera folder or a file of cameras, or turn a trajectory script into a path.

    Args:
        text: a folder with ``poses.npy`` and ``intrinsics.npy``, and ``action.npy`` for control "act"; each may have
            a prefix, as in ``R_L90_360_poses.npy``. Or what `worldkv_jax.cameras.formats.read_cameras` reads, or a
            script, see `worldkv_jax.cameras.parse`.
        control: of the checkpoint.
        frames: length of the path of a script, whose last pose is held; its own length by default.
        tell: is told of what was left out or is in doubt.

    Raises:
        FileNotFoundError: a file is missing, or what looks like a path leads nowhere.
        ValueError: files that cannot be read or do not fit together, a lens that does not fit the picture, a script
            that cannot be read, or no keys where they are needed.
    """
    place = os.path.expanduser(text)
    if os.path.isdir(place) and (control == "act" or format_of(place) in ("folder", None)):
        folder = Path(place)
        track = _read_poses(folder)
        check_lens(track.intrinsics, DEFAULT_SIZE, name=f"{folder}: intrinsics", tell=tell)
        return CameraPath(track, _read_actions(folder) if control == "act" else None)
    if looks_like_path(text) and not os.path.exists(place):
        raise FileNotFoundError(
            f"{text} is no folder and no file; give a folder with poses.npy and intrinsics.npy, a file of cameras, or "
            "a script: R_L90"
        )
    if control == "act":
        raise ValueError(
            f"this checkpoint is steered by keys as well, which {text!r} does not have; give a folder with "
            "poses.npy, intrinsics.npy and action.npy"
        )
    if os.path.exists(place):
        return CameraPath(_read_file(Path(place), tell), None)
    try:
        poses = trajectory(text)
    except ValueError as error:
        raise ValueError(f"no folder or file {text}, and no script: {error}") from None
    if frames is not None:
        poses = poses[np.minimum(np.arange(frames), len(poses) - 1)]
    return CameraPath(CameraTrack(poses, np.asarray(DEFAULT_INTRINSICS)), None)


def _read_file(path: Path, tell: Callable[[str], object]) -> CameraTrack:
    cameras = read_cameras(path)
    for note in cameras.notes:
        tell(f"{path}: {note}")
    if cameras.intrinsics is not None:
        return cameras.track(DEFAULT_SIZE)
    tell(f"{path} has no lens; LingBot-World's usual one is taken, 90 degrees wide")
    return CameraTrack(cameras.poses, np.asarray(DEFAULT_INTRINSICS))


def latent_actions(actions: np.ndarray, frames: int, latents: int) -> np.ndarray:
    """Choose the keys of every latent frame from those of every video frame.

    Every fourth row where the video has no frames to spare, as in the released code, which refuses all other
    lengths; else rows are spread like poses.

    Args:
        actions: ``[n, 4]``.
        frames: rows that count.
        latents: latent frames.

    Raises:
        ValueError: fewer rows than frames.
    """
    if len(actions) < frames:
        raise ValueError(f"action.npy has {len(actions)} rows for {frames} frames; give one row a frame")
    return actions[np.rint(np.linspace(0, frames - 1, latents)).astype(int)]


def _read_poses(folder: Path) -> CameraTrack:
    plain = ("poses.npy", "intrinsics.npy")
    paths = [_find(folder, name) for name in plain]
    if tuple(path.name for path in paths) == plain:
        return read_track(folder)
    try:
        return CameraTrack(*map(_load, paths))
    except ValueError as error:
        raise ValueError(f"camera folder {folder}: {error}") from None


def _read_actions(folder: Path) -> np.ndarray:
    path = _find(folder, "action.npy")
    actions = _load(path)
    if actions.ndim != 2 or actions.shape[1] != KEYS or not np.isfinite(actions).all():
        raise ValueError(f"{path} has shape {actions.shape}, expected finite numbers [n, {KEYS}]: keys W, A, S, D")
    return actions


def _find(folder: Path, name: str) -> Path:
    """Find a file of this name, or the one file whose name ends so."""
    found = [] if (folder / name).exists() else find_series(folder, f"*_{name}", tell=lambda _: None)
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise ValueError(f"{folder} has {len(found)} files *_{name} ({names}); leave one, or call it {name}")
    return found[0] if found else folder / name


def _load(path: Path) -> np.ndarray:
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing; a camera folder holds poses.npy, intrinsics.npy and, for some, action.npy"
        )
    return read_array(path, kinds="fiub").astype(np.float64)
