"""What a generated video shows that it remembers: revisits, headroom, loop closure and drift of one world."""

import dataclasses
from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import ArrayLike

from worldkv_jax.cameras import validate_poses
from worldkv_jax.evaluation.memory_gain import PairSets, draw_pairs, memory_gain
from worldkv_jax.evaluation.metrics import PSNR, SSIM, Metric, is_constant, mean_defined
from worldkv_jax.evaluation.revisits import Revisits, closest_approach, find_revisits, given_revisits, other_places
from worldkv_jax.media.frames import as_float, check_video

_FEWEST_FOR_SLOPE = 3  # frames


@dataclasses.dataclass(frozen=True, kw_only=True)
class RevisitCriteria:
    """What counts as the same place, and as having left it."""

    max_angle_degrees: float = 10.0
    max_distance: float | None = None
    """Scene units; ``None`` for a twentieth of the path's extent."""
    min_gap: int = 16
    """Fewest frames between the two."""
    min_away: int = 3
    """Frames that count as having left."""

    def limits(self, poses: np.ndarray) -> dict[str, float]:
        """Return up to where two cameras of a path see the same place, as `find_revisits` and its like take it."""
        distance = self.max_distance
        if distance is None:
            distance = float(np.linalg.norm(np.ptp(poses[:, :3, 3], axis=0))) / 20
            distance = distance if distance > 1e-6 else 1.0  # a camera that only turns: any distance will do
        return {"max_angle_degrees": self.max_angle_degrees, "max_distance": distance}


@dataclasses.dataclass(frozen=True, kw_only=True)
class MetricScores:
    """One metric on one world; ``None`` where it is undefined, and the notes say why."""

    first: float | None
    """Between the first revisit and the first visit."""
    late: float | None
    """Between later revisits and the first visit."""
    random: float | None
    """Control: between revisits and a random earlier frame of another place."""
    headroom: float | None
    """By how much revisits are more like their place than like another one; a blurry world has little."""
    truth_seen: float | None
    """Against the truth, of frames that are no revisits."""
    truth_first: float | None
    """Against the truth, on first revisits."""
    truth_late: float | None
    """Against the truth, on late ones."""
    same_truth: float | None
    """What the true video scores between revisits and first visits: the most that the poses allow."""
    memory_gain: float | None
    """How much more alike revisits are than frames as far apart in time that see other places, see `MemoryGain`."""
    memory_ratio: float | None
    """The same as a share of how much more alike neighbouring frames are: the Normalised Memory Ratio."""


class Closure(TypedDict):
    """The revisit that closes the longest loop."""

    frame: int
    earlier: int
    """Frame of the first visit."""
    rmse: float
    """Root mean squared error of the colours of the two."""


class Drift(TypedDict):
    """Change of PSNR over 100 frames, in dB; ``None`` where there is too little to tell, or no truth."""

    revisits: float | None
    """Of revisits against their first visit."""
    truth: float | None
    """Of all frames against the truth."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class WorldScores:
    """All that is measured of one world."""

    frames: int
    revisits: Revisits
    metrics: dict[str, MetricScores]
    closure: Closure
    drift: Drift
    notes: tuple[str, ...]


def score_world(
    frames: ArrayLike,
    poses: ArrayLike,
    *,
    truth: ArrayLike | None = None,
    pairs: Sequence[tuple[int, int]] | None = None,
    criteria: RevisitCriteria | None = None,
    metrics: Sequence[Metric] = (PSNR, SSIM),
    seed: int = 0,
) -> WorldScores:
    """Measure the memory that a video shows.

    Args:
        frames: generated ``[n, h, w, 3]``, float in [0, 1] or uint8.
        poses: camera-to-world ``[n, 4, 4]``, one a frame, OpenCV axes.
        truth: the true video of the same shape, where it is known.
        pairs: (first visit, revisit) frame numbers, instead of those that the poses tell.
        criteria: what counts as a revisit.
        metrics: of `load_metrics`.
        seed: of the random control frames.

    Raises:
        ValueError: frames, poses and truth of different length or shape, or no revisit (with the closest pair).
    """
    criteria = criteria or RevisitCriteria()
    frames, poses = check_video(frames, name="video"), validate_poses(poses)
    true = None if truth is None else check_video(truth, name="truth")
    _check_lengths(frames, poses, true)
    limits = criteria.limits(poses)
    revisits = _find(poses, criteria) if pairs is None else given_revisits(pairs, len(poses))
    notes: list[str] = []
    metrics = _usable(metrics, frames.shape[1:3], notes)
    elsewhere = _random_elsewhere(poses, revisits, limits, seed)
    if not (elsewhere >= 0).any():
        notes.append("headroom is undefined: the camera saw no other place before its revisits")
    if is_constant(frames).all():
        notes.append("headroom is undefined: every frame is one plain colour")
        elsewhere = np.full_like(elsewhere, -1)
    drawn = draw_pairs(poses, revisits, **limits, seed=seed)
    scores = {}
    for metric in metrics:
        scores[metric.name] = _score(metric, frames, true, revisits, elsewhere, drawn, notes)
    return WorldScores(
        frames=len(frames),
        revisits=revisits,
        metrics=scores,
        closure=_closure(frames, revisits),
        drift=_drift(frames, true, revisits),
        notes=tuple(notes),
    )


def _check_lengths(frames: np.ndarray, poses: np.ndarray, truth: np.ndarray | None) -> None:
    if len(frames) != len(poses):
        advice = "; frames that were dropped or repeated, or a path that was cut, show in such numbers"
        if are_latents(len(poses), len(frames)):
            advice = " (poses of latent frames can be stretched: cameras.latent_poses, on the command line --stretch)"
        raise ValueError(
            f"the video has {len(frames)} frames but there are {len(poses)} poses; give one pose a frame{advice}"
        )
    if truth is not None and truth.shape != frames.shape:
        raise ValueError(f"the video has shape {frames.shape}, the truth {truth.shape}; cut or resize one of them")


def are_latents(count: int, frames: int) -> bool:
    """Tell whether a number of poses can be that of the latent frames of a video of so many frames."""
    return 1 < count < frames and ((frames - 1) % (count - 1) == 0 or frames % count == 0)


def _find(poses: np.ndarray, criteria: RevisitCriteria) -> Revisits:
    limits = criteria.limits(poses)
    revisits = find_revisits(poses, **limits, min_gap=criteria.min_gap, min_away=criteria.min_away)
    if len(revisits):
        return revisits
    nearest = closest_approach(poses, **limits, min_gap=criteria.min_gap)
    closest = "the camera never comes back towards a view that it had left"
    if nearest is not None:
        closest = (
            f"the closest pair is frame {nearest.frame} to frame {nearest.earlier}, {nearest.angle_degrees:.1f} "
            f"degrees and {nearest.distance:.3g} units apart"
        )
    raise ValueError(
        f"no revisit in the trajectory: no frame sees a view again within {limits['max_angle_degrees']:g} degrees and "
        f"{limits['max_distance']:.3g} units, at least {criteria.min_gap} frames later and after {criteria.min_away} "
        f"frames elsewhere; {closest}; widen the limits, or name pairs"
    )


def _usable(metrics: Sequence[Metric], size: tuple[int, int], notes: list[str]) -> list[Metric]:
    for metric in metrics:
        if min(size) < metric.smallest_side:
            notes.append(
                f"{metric.name} is left out: frames of {size[0]} x {size[1]} pixels are below its "
                f"{metric.smallest_side}"
            )
    return [metric for metric in metrics if min(size) >= metric.smallest_side]


def _random_elsewhere(poses: np.ndarray, revisits: Revisits, limits: dict[str, float], seed: int) -> np.ndarray:
    """Draw for each revisit an earlier frame of another place, ``[m]``; -1 where there is none."""
    rng, drawn = np.random.default_rng(seed), np.full(len(revisits), -1)
    for i, frame in enumerate(revisits.frames):
        away = other_places(poses[frame], poses[:frame], **limits)
        if away.any():
            drawn[i] = rng.choice(np.flatnonzero(away))
    return drawn


def _score(
    metric: Metric,
    frames: np.ndarray,
    truth: np.ndarray | None,
    revisits: Revisits,
    elsewhere: np.ndarray,
    drawn_pairs: PairSets,
    notes: list[str],
) -> MetricScores:
    now, then, first = revisits.frames, revisits.earlier, revisits.visits == 1
    same = metric(frames[now], frames[then])
    drawn = elsewhere >= 0
    other = np.full(len(now), np.nan)
    if drawn.any():
        other[drawn] = metric(frames[now[drawn]], frames[elsewhere[drawn]])
    if np.isnan(same).any():
        many = "all" if np.isnan(same).all() else f"{np.isnan(same).sum()} of {len(same)}"
        notes.append(f"{metric.name} is undefined on {many} revisits: their frames are one plain colour")
    true = {"truth_seen": None, "truth_first": None, "truth_late": None, "same_truth": None}
    if truth is not None:
        against, revisited = metric(frames, truth), np.zeros(len(frames), bool)
        revisited[now] = True
        true = {
            "truth_seen": mean_defined(against[~revisited]),
            "truth_first": mean_defined(against[now[first]]),
            "truth_late": mean_defined(against[now[~first]]),
            "same_truth": mean_defined(metric(truth[now], truth[then])),
        }
    against_time = memory_gain(metric, frames, drawn_pairs)
    return MetricScores(
        first=mean_defined(same[first]),
        late=mean_defined(same[~first]),
        random=mean_defined(other),
        headroom=mean_defined(metric.gain(same, other)),
        **true,
        memory_gain=against_time.gain,
        memory_ratio=against_time.ratio,
    )


def _closure(frames: np.ndarray, revisits: Revisits) -> Closure:
    longest = int(np.argmax(revisits.frames - revisits.earlier))
    frame, earlier = int(revisits.frames[longest]), int(revisits.earlier[longest])
    difference = as_float(frames[frame]) - as_float(frames[earlier])
    return {"frame": frame, "earlier": earlier, "rmse": float(np.sqrt(np.mean(np.square(difference))))}


def _drift(frames: np.ndarray, truth: np.ndarray | None, revisits: Revisits) -> Drift:
    return {
        "revisits": _slope(revisits.frames, PSNR(frames[revisits.frames], frames[revisits.earlier])),
        "truth": None if truth is None else _slope(np.arange(len(frames)), PSNR(frames, truth)),
    }


def _slope(times: np.ndarray, values: np.ndarray) -> float | None:
    """Fit a line; its slope over 100 frames, or ``None`` for too few frames."""
    if len(np.unique(times)) < _FEWEST_FOR_SLOPE:
        return None
    return float(100 * np.polyfit(times, values, 1)[0])
