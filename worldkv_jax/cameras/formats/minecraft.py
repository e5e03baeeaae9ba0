"""Minecraft actions as VPT and its benchmarks record them: one JSON object a frame, keys 0 or 1 and a camera turn."""

import itertools
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from worldkv_jax.cameras.actions import Motion, MotionUnits, dead_reckon
from worldkv_jax.cameras.checks import MAX_FRAMES
from worldkv_jax.cameras.formats.camera_file import CameraFile
from worldkv_jax.cameras.formats.json_fields import array, optional
from worldkv_jax.readers import read_text
from worldkv_jax.readers.texts import MAX_DATA

KIND = "Minecraft actions (.jsonl): keys and camera [pitch, yaw] in degrees a frame, pitch positive downwards"
_WALK = ("forward", "back", "left", "right")


class Actions(NamedTuple):
    """What is pressed and turned in every frame."""

    keys: dict[str, np.ndarray]
    """By name, such as ``forward``, ``jump`` or ``attack``: 0 or 1, int ``[n]``."""
    turn: np.ndarray
    """Degrees ``[n, 2]``: pitch and yaw; positive looks up and to the right."""


def recognise(path: Path) -> bool:
    """Tell whether a path is such a file, by its suffix."""
    return path.suffix.lower() == ".jsonl" and path.is_file()


def read_actions(path: Path) -> Actions:
    """Read the actions of a file.

    Raises:
        ValueError: a line that is no such object; names file and line.
    """
    rows, turns = [], []
    for line, text in enumerate(read_text(path, limit=MAX_DATA).splitlines(), 1):
        if not text.strip():
            continue
        try:
            row = json.loads(text)
            camera = array(optional(row, "camera", [0, 0]), "camera")
            if not isinstance(row, dict) or not any(key in row for key in (*_WALK, "camera")):
                raise ValueError(f"expected an object with {', '.join(_WALK)} and camera")
            if camera.shape != (2,) or not np.isfinite(camera).all() or np.abs(camera).max() > 360:
                raise ValueError(f"camera is {optional(row, 'camera', None)!r}, expected pitch and yaw in degrees")
            wrong = [key for key, value in row.items() if key != "camera" and value not in (0, 1)]
            if wrong:
                raise ValueError(f"key {wrong[0]} is {row[wrong[0]]!r}, expected 0 or 1")
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}, line {line}: {error}") from None
        rows.append({key: int(value) for key, value in row.items() if key != "camera"})
        turns.append((-camera[0], camera[1]))
        if len(rows) > MAX_FRAMES:
            raise ValueError(f"{path} has more than {MAX_FRAMES:,} lines; this is no recording of actions")
    if not rows:
        raise ValueError(f"{path} has no actions; expected one JSON object a line")
    names = sorted(set().union(*rows))
    return Actions({name: np.array([row.get(name, 0) for row in rows]) for name in names}, np.array(turns))


def read(path: Path, *, units: MotionUnits | None = None) -> CameraFile:
    """Reckon where the camera of a recording stands before each action.

    Args:
        path: of the file.
        units: how far a frame walks; a guess by default, which the result's notes say.
    """
    actions = read_actions(path)
    pressed = {name: actions.keys.get(name, np.zeros(len(actions.turn), int)) for name in _WALK}
    walk = np.stack([pressed["forward"] - pressed["back"], pressed["right"] - pressed["left"]], axis=-1)
    # The game holds the pitch between straight up and straight down.
    pitch = np.array(list(itertools.accumulate(actions.turn[:, 0], _clamp, initial=0.0)))
    turn = np.stack([np.diff(pitch), actions.turn[:, 1]], axis=-1)
    stances = dead_reckon(Motion(walk, turn), units or MotionUnits())
    guess = "poses are reckoned from keys; how far a step goes is a guess, and walls are not known"
    return CameraFile(poses=stances.pose()[:-1], notes=(guess,))


def _clamp(pitch: float, turn: float) -> float:
    return min(max(pitch + turn, -90.0), 90.0)
