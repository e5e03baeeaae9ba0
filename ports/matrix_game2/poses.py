"""Poses from actions: what each variant's keys and mouse do to the camera, as far as anyone can tell.

No units of Matrix-Game 2.0 are published: those of `MotionUnits` are uncalibrated for it.
"""

import numpy as np

from ports.matrix_game2.actions import Rows
from ports.matrix_game2.variants import Variant
from worldkv_jax.cameras.actions import Motion, MotionUnits, mouse_turn


def motion_of(variant: Variant, rows: Rows, units: MotionUnits, *, before: np.ndarray | None = None) -> Motion:
    """Read the motion of a variant's camera from its actions.

    ``universal`` walks and looks around; ``gta_drive`` drives along its heading, without inertia; ``templerun`` runs
    ahead all the time, steps aside, and turns once whenever a turn key goes down.

    Args:
        variant: whose actions they are.
        rows: of ``n`` pixel frames.
        units: how far a frame moves the camera.
        before: ``[K]`` the row of keys before the first, if any.
    """

    def pressed(column: str) -> np.ndarray:
        if column not in variant.columns:
            return np.zeros(len(rows.keyboard))
        return (rows.keyboard[:, variant.columns.index(column)] > 0.5).astype(np.float64)

    if rows.mouse is not None:
        walk = np.stack([pressed("forward") - pressed("back"), pressed("right") - pressed("left")], axis=-1)
        return Motion(walk, mouse_turn(rows.mouse, units))
    aside = pressed("right side") - pressed("left side")
    events = {}
    for column in ("turn left", "turn right"):
        held = pressed(column)
        was_held = 0.0 if before is None else float(before[variant.columns.index(column)] > 0.5)
        events[column] = np.maximum(held - np.concatenate([[was_held], held[:-1]]), 0)
    turn = (events["turn right"] - events["turn left"]) * units.degrees_per_turn
    return Motion(np.stack([np.ones_like(aside), aside], axis=-1), np.stack([np.zeros_like(turn), turn], axis=-1))
