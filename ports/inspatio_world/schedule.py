"""Diffusion times and noise levels of InSpatio-World."""

import numpy as np

from worldkv_jax.rollout import Schedule

TRAINING_STEPS = 1000
STEPS = (1000, 750, 500, 250)
"""Training steps that the distilled model was made for, counted down from pure noise."""
SHIFT = 5.0


def noise_levels(shift: float) -> np.ndarray:
    """Return the noise level of every training step, float32 ``[1000]``, from 1 down.

    Levels fall evenly and are then shifted towards noise (InSpatio-World specification, section 3).
    """
    step, index = np.float64(np.float32(1 / TRAINING_STEPS)), np.arange(TRAINING_STEPS)
    # The released table counts with a float32 step from whichever end is nearer.
    from_start, from_end = 1 - step * index, step * (TRAINING_STEPS - index)
    even = np.where(index < TRAINING_STEPS // 2, from_start, from_end).astype(np.float32)
    shift = np.float32(shift)
    return shift * even / (1 + (shift - 1) * even)


def timesteps(steps: tuple[int, ...], shift: float) -> np.ndarray:
    """Return the diffusion time of training steps, float32 and not truncated; step 0 is time 0."""
    times = np.append(noise_levels(shift) * np.float32(TRAINING_STEPS), np.float32(0))
    return times[TRAINING_STEPS - np.asarray(steps)]


def nearest_step(times: np.ndarray, shift: float) -> np.ndarray:
    """Return the index of the noise level whose time is nearest to each of ``times``; the released sampler's lookup."""
    table = noise_levels(shift) * np.float32(TRAINING_STEPS)
    return np.abs(table - np.asarray(times, np.float32)[..., None]).argmin(axis=-1)


def inspatio_schedule(*, shift: float = SHIFT, steps: tuple[int, ...] = STEPS) -> Schedule:
    """Return the schedule of InSpatio-World: four steps, each noised again with fresh noise.

    Raises:
        ValueError: no step, one out of range, a shift that is not positive, or steps that do not fall.
    """
    if not shift > 0:
        raise ValueError(f"shift={shift} must be positive; InSpatio-World has {SHIFT}")
    falling = list(steps) == sorted(set(steps), reverse=True)
    if not steps or not falling or not 0 <= min(steps) <= max(steps) <= TRAINING_STEPS:
        raise ValueError(f"steps={steps} must fall and lie in {TRAINING_STEPS} to 0; for example {STEPS}")
    times = timesteps(steps, shift)
    sigmas = noise_levels(shift)[nearest_step(times, shift)]
    return Schedule(times=tuple(times), clean_sigmas=tuple(sigmas), noise_sigmas=tuple(sigmas[1:]))
