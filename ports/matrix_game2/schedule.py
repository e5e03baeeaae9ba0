"""Diffusion times and noise levels of Matrix-Game 2.0."""

import numpy as np

from ports.wan.schedule import nearest_step, noise_levels, warped_schedule
from worldkv_jax.rollout import Schedule

SHIFT = 5.0


def matrix_game_schedule(steps: tuple[int, ...]) -> Schedule:
    """Return the schedule of a variant distilled for these training steps; raises what `warped_schedule` raises."""
    return warped_schedule(steps, shift=SHIFT)


def sigma_at(times: np.ndarray) -> np.ndarray:
    """Return the noise level at diffusion times ``[...]``, float32: that of the nearest training step."""
    return noise_levels(SHIFT)[nearest_step(times, SHIFT)]
