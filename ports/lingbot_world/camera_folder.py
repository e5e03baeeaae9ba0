"""Camera paths as users have them: folders of WorldKV and LingBot-World, or trajectory scripts."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from ports.lingbot_world.config import MAPS, Control
from worldkv_jax.cameras import DEFAULT_INTRINSICS, CameraTrack, read_track, trajectory

KEYS = MAPS["act"] - MAPS["cam"] // 2
"""Columns of a table of pressed keys: W, A, S, D."""


class CameraPath(NamedTuple):
    """A camera path, one row a video frame."""

    track: CameraTrack
    actions: np.ndarray | None
    """``[n, 4]`` keys W, A, S, D that are pressed, for checkpoints that are steered by them."""


def read_path(text: str, control: Control, *, frames: int | None) -> CameraPath:
    """Read a camera folder, or turn a trajectory script into a path.

    Args:
        text: a folder with ``poses.npy`` and ``intrinsics.npy``, and ``action.npy`` for control "act"; each may have
            a prefix, as in ``R_L90_360_poses.npy``. Or a script, see `worldkv_jax.cameras.parse`.
        control: of the checkpoint.
        frames: length of the path of a script, whose last pose is held; its own length by default.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: files that cannot be read or do not fit together, a script that cannot be read, or a script
            where keys are needed.
    """
    folder = Path(text)
    if folder.is_dir():
        actions = _read_actions(folder) if control == "act" else None
        return CameraPath(_read_poses(folder), actions)
    if folder.exists() or len(folder.parts) > 1:
        raise FileNotFoundError(f"{text} is no folder; give one with poses.npy and intrinsics.npy, or a script: R_L90")
    if control == "act":
        raise ValueError(
            f"this checkpoint is steered by keys as well, which the script {text!r} does not have; give a folder with "
            "poses.npy, intrinsics.npy and action.npy"
        )
    poses = trajectory(text)
    if frames is not None:
        poses = poses[np.minimum(np.arange(frames), len(poses) - 1)]
    return CameraPath(CameraTrack(poses, np.asarray(DEFAULT_INTRINSICS)), None)


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
    found = [] if (folder / name).exists() else sorted(folder.glob(f"*_{name}"))
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise ValueError(f"{folder} has {len(found)} files *_{name} ({names}); leave one, or call it {name}")
    return found[0] if found else folder / name


def _load(path: Path) -> np.ndarray:
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing; a camera folder holds poses.npy, intrinsics.npy and, for some, action.npy"
        )
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"{path} cannot be read as a .npy array of numbers: {error}") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub":
        raise ValueError(f"{path} does not hold one array of real numbers; save it with numpy.save")
    return array.astype(np.float64)
