"""Diffusion times and noise levels of LingBot-World-Fast."""

import numpy as np

from worldkv_jax.rollout import Schedule

TRAINING_STEPS = 1000
INDICES = (0, 179, 358, 679)
"""Training steps that the distilled model was made for."""
SHIFT = 10.0


def noise_levels(shift: float) -> np.ndarray:
    """Return the noise level of every training step and a final 0, float32 ``[1001]``.

    Levels fall evenly from almost 1 and are then shifted towards noise
    (LingBot-World specification, section 7).
    """
    return np.append(_levels(shift), 0).astype(np.float32)


def timesteps(shift: float) -> np.ndarray:
    """Return the time that the model is told at every training step, int64: truncated, so that many repeat."""
    return (_levels(shift) * TRAINING_STEPS).astype(np.int64)


def lingbot_schedule(*, shift: float = SHIFT, indices: tuple[int, ...] = INDICES) -> Schedule:
    """Return the schedule of LingBot-World-Fast.

    The released sampler looks noise levels up by the truncated time: the first training step of that time gives
    the level that turns flow into clean latents, the second one, if there is one, the level to noise again with.
    The checkpoint is run that way, so both are kept.

    Raises:
        ValueError: no index, one out of range, a shift that is not positive, or indices that do not increase.
    """
    if not shift > 0:
        raise ValueError(f"shift={shift} must be positive; LingBot-World-Fast has {SHIFT}")
    if not indices or list(indices) != sorted(set(indices)) or not 0 <= min(indices) <= max(indices) < TRAINING_STEPS:
        raise ValueError(f"indices={indices} must increase and lie in 0 to {TRAINING_STEPS - 1}; for example {INDICES}")
    levels, times = noise_levels(shift), timesteps(shift)
    same = [np.flatnonzero(times == times[index]) for index in indices]
    return Schedule(
        times=tuple(times[list(indices)].tolist()),
        clean_sigmas=tuple(float(levels[found[0]]) for found in same),
        noise_sigmas=tuple(float(levels[found[min(1, len(found) - 1)]]) for found in same[1:]),
    )


def _levels(shift: float) -> np.ndarray:
    largest = np.float64(np.float32(1 - 1 / TRAINING_STEPS))
    even = np.linspace(largest, 0, TRAINING_STEPS + 1)[:-1]
    return shift * even / (1 + (shift - 1) * even)
