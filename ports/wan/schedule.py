"""Schedules of models distilled by Self-Forcing: few training steps, shifted towards noise, looked up in a table."""

import numpy as np

from worldkv_jax.rollout import Schedule

TRAINING_STEPS = 1000


def noise_levels(shift: float) -> np.ndarray:
    """Return the noise level of every training step, float32 ``[1000]``, from 1 down.

    Levels fall evenly and are then shifted towards noise (Matrix-Game 2.0 specification, section 6).
    """
    # The released table is float32 arithmetic, counted from whichever end is nearer with one rounding a level.
    step, index = np.float64(np.float32(1 / TRAINING_STEPS)), np.arange(TRAINING_STEPS)
    even = np.where(index < TRAINING_STEPS // 2, 1 - step * index, step * (TRAINING_STEPS - index)).astype(np.float32)
    steepness = np.float32(shift)
    return steepness * even / (1 + (steepness - 1) * even)


def timesteps(shift: float) -> np.ndarray:
    """Return the diffusion time of every training step and a final 0, float32 ``[1001]``; none is truncated."""
    return np.append(noise_levels(shift) * np.float32(TRAINING_STEPS), np.float32(0))


def nearest_step(times: np.ndarray, shift: float) -> np.ndarray:
    """Return the training step whose time is nearest to each of ``times``: how released samplers find a noise level."""
    table = timesteps(shift)[:-1]
    return np.abs(table - np.asarray(times, np.float32)[..., None]).argmin(axis=-1)


def warped_schedule(steps: tuple[int, ...], *, shift: float) -> Schedule:
    """Return the schedule of a distilled model.

    Args:
        steps: what the model was distilled for, counted down from pure noise, such as 1000, 666, 333.
        shift: how far levels are shifted towards noise; 1 leaves them even.

    Raises:
        ValueError: no step, one out of range, steps that do not fall, or a shift that is not positive.
    """
    if not shift > 0:
        raise ValueError(f"shift={shift} must be positive; the released models have 5")
    falling = list(steps) == sorted(set(steps), reverse=True)
    if not steps or not falling or not 0 < min(steps) <= max(steps) <= TRAINING_STEPS:
        raise ValueError(f"steps={steps} must fall and lie in {TRAINING_STEPS} to 1; for example (1000, 666, 333)")
    times = timesteps(shift)[TRAINING_STEPS - np.asarray(steps)]
    sigmas = noise_levels(shift)[nearest_step(times, shift)]
    return Schedule(times=tuple(times), clean_sigmas=tuple(sigmas), noise_sigmas=tuple(sigmas[1:]))
