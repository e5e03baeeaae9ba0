"""Diffusion times and noise levels of Matrix-Game 2.0."""

from ports.wan.schedule import warped_schedule
from worldkv_jax.rollout import Schedule

SHIFT = 5.0


def matrix_game_schedule(steps: tuple[int, ...]) -> Schedule:
    """Return the schedule of a variant distilled for these training steps; raises what `warped_schedule` raises."""
    return warped_schedule(steps, shift=SHIFT)
