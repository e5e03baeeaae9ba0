"""The paths of MemoryTax: a turn away and back, and the replay of a true path."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from worldkv_jax.cameras import pose_from_angles
from worldkv_jax.evaluation.metrics import PSNR, SSIM, Metric, mean_defined
from worldkv_jax.media.frames import check_video
from worldkv_jax.names import check_name

_PART = 81  # frames that a model makes at once
TURNS = {"A": (90.0, 4 * _PART), "OV": (45.0, 2 * _PART)}
"""Degrees that a task turns away, and its frames; task D replays a given path."""
TASKS = (*TURNS, "D")


class TaxPath(NamedTuple):
    """The camera of one task, and which frame is to look like which."""

    poses: np.ndarray  # [n, 4, 4] camera-to-world, float32
    pairs: tuple[tuple[int, int], ...]  # (first visit, revisit)


def memory_tax(task: str) -> TaxPath:
    """Return the path of a task: ``A`` turns 90 degrees away and back, ``OV`` 45, so that the views overlap.

    Half of the frames turn away and half come back; the first frame is compared with the last. Save the poses with
    ``np.save`` and play them with any model.

    Raises:
        ValueError: task D, which replays a path of yours, or none that is known.
    """
    if check_name("task of MemoryTax", task, TASKS) == "D":
        raise ValueError("task D replays true poses: play your own path, and score it with `score_replay`")
    degrees, frames = TURNS[task]
    half = np.linspace(0, degrees, frames // 2)
    poses = pose_from_angles(np.concatenate([half, half[::-1]]), 0.0, np.zeros((frames, 3)))
    return TaxPath(poses.astype(np.float32), pairs_of_turn(frames))


def pairs_of_turn(frames: int) -> tuple[tuple[int, int], ...]:
    """Return what tasks A and OV compare in a video of so many frames: the first frame with the last."""
    return ((0, frames - 1),)


def score_replay(
    frames: ArrayLike, truth: ArrayLike, *, metrics: Sequence[Metric] = (PSNR, SSIM)
) -> dict[str, float | None]:
    """Score a replayed path (task D): each metric's mean over all frames against the truth.

    Args:
        frames: generated ``[n, h, w, 3]``, float in [0, 1] or uint8.
        truth: of the same shape.
        metrics: of `load_metrics`; those for which frames are too small are left out.

    Raises:
        ValueError: videos of different shape.
    """
    frames, truth = check_video(frames, name="video"), check_video(truth, name="truth")
    if frames.shape != truth.shape:
        raise ValueError(f"the video has shape {frames.shape}, the truth {truth.shape}; cut or resize one of them")
    scores = {}
    for metric in metrics:
        if min(frames.shape[1:3]) >= metric.smallest_side:
            scores[metric.name] = mean_defined(metric(frames, truth))
    return scores
