"""MemoryGain and the Normalised Memory Ratio of R2M-Bench: what revisits share beyond what any two frames share.

A model that hardly moves repeats itself everywhere, so its revisits look remembered. Hence two controls of the same
video: pairs as far apart in time that see different places, and neighbouring frames (arXiv 2608.27328).
"""

from typing import NamedTuple

import numpy as np

from worldkv_jax.evaluation.metrics import Metric, mean_defined
from worldkv_jax.evaluation.revisits import Revisits, other_places

_LEAST_SPAN = 1e-6  # of scores that neighbouring frames share beyond the baseline


class PairSets(NamedTuple):
    """Pairs of (later, earlier) frames, ``[m, 2]`` each."""

    revisit: np.ndarray
    baseline: np.ndarray
    """One for each revisit that has any: as far apart in time, of another place."""
    short: np.ndarray
    """Each revisit with the frame before it."""


class MemoryGain(NamedTuple):
    """What one metric says; ``None`` where there is no pair of that kind."""

    baseline: float | None
    """Mean score ``B`` of pairs as far apart in time that see different places."""
    short: float | None
    """Mean score ``S`` of neighbouring frames."""
    gain: float | None
    """MemoryGain, ``R - B``: how much more alike revisits are; positive is better whichever way the metric runs."""
    ratio: float | None
    """Normalised Memory Ratio, ``(R - B) / (S - B)``: 1 remembers a place as well as the last frame, 0 not at all."""


def draw_pairs(
    poses: np.ndarray, revisits: Revisits, *, max_angle_degrees: float, max_distance: float, seed: int
) -> PairSets:
    """Draw the controls of all revisits of a path.

    Args:
        poses: camera-to-world ``[n, 4, 4]``.
        revisits: of `find_revisits`.
        max_angle_degrees: cameras that are turned by more see another place.
        max_distance: so do those farther apart, in scene units.
        seed: of which pair is drawn where several will do.
    """
    rng, baseline = np.random.default_rng(seed), []
    gaps = revisits.frames - revisits.earlier
    for gap in np.unique(gaps):
        apart = other_places(poses[gap:], poses[:-gap], max_angle_degrees=max_angle_degrees, max_distance=max_distance)
        elsewhere = np.flatnonzero(apart)
        if len(elsewhere):
            drawn = rng.choice(elsewhere, int((gaps == gap).sum()))
            baseline.append(np.stack([drawn + gap, drawn], axis=1))
    none = np.zeros((0, 2), np.int64)
    return PairSets(
        revisit=np.stack([revisits.frames, revisits.earlier], axis=1),
        baseline=np.concatenate([none, *baseline]),
        short=np.stack([revisits.frames, revisits.frames - 1], axis=1),
    )


def memory_gain(metric: Metric, frames: np.ndarray, pairs: PairSets) -> MemoryGain:
    """Score a video ``[n, h, w, 3]`` by one metric."""
    revisit, baseline, short = (_mean(metric, frames, some) for some in pairs)
    if revisit is None or baseline is None:
        return MemoryGain(baseline, short, None, None)
    gain = metric.gain(revisit, baseline)
    span = None if short is None else metric.gain(short, baseline)
    return MemoryGain(baseline, short, gain, None if span is None or span < _LEAST_SPAN else gain / span)


def _mean(metric: Metric, frames: np.ndarray, pairs: np.ndarray) -> float | None:
    if not len(pairs):
        return None
    return mean_defined(metric(frames[pairs[:, 0]], frames[pairs[:, 1]]))
