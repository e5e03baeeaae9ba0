"""What a generated video shows that it remembers: revisits, headroom, loop closure and drift of one world."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from worldkv_jax.cameras import pose_distance, validate_poses
from worldkv_jax.evaluation.memory_gain import draw_pairs, memory_gain
from worldkv_jax.evaluation.metrics import PSNR, SSIM, Metric, is_constant
from worldkv_jax.evaluation.revisits import Revisits, closest_approach, find_revisits, given_revisits
from worldkv_jax.media.frames import as_float, check_frames

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

    def search(self, poses: np.ndarray) -> dict:
        """Return the options of `find_revisits` for a path."""
        distance = self.max_distance
        if distance is None:
            distance = float(np.linalg.norm(np.ptp(poses[:, :3, 3], axis=0))) / 20
            distance = distance if distance > 1e-6 else 1.0  # a camera that only turns: any distance will do
        return {
            "max_angle_degrees": self.max_angle_degrees,
            "max_distance": distance,
            "min_gap": self.min_gap,
            "min_away": self.min_away,
        }


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


@dataclasses.dataclass(frozen=True, kw_only=True)
class WorldScores:
    """All that is measured of one world."""

    frames: int
    revisits: Revisits
    metrics: dict[str, MetricScores]
    closure: dict
    """The revisit that closes the longest loop: its frames, and the root mean squared error of its colours."""
    drift: dict
    """Change of PSNR over 100 frames, in dB: of revisits against their first visit, and against the truth."""
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
    frames, poses = check_frames(frames, name="video"), validate_poses(poses)
    _check_lengths(frames, poses, truth)
    search = criteria.search(poses)
    revisits = _find(poses, pairs, search)
    notes: list[str] = []
    metrics = _usable(metrics, frames.shape[1:3], notes)
    elsewhere = _random_elsewhere(poses, revisits, search, seed)
    if not (elsewhere >= 0).any():
        notes.append("headroom is undefined: the camera saw no other place before its revisits")
    if is_constant(frames).all():
        notes.append("headroom is undefined: every frame is one plain colour")
        elsewhere = np.full_like(elsewhere, -1)
    limits = {name: search[name] for name in ("max_angle_degrees", "max_distance")}
    drawn = draw_pairs(poses, revisits, **limits, seed=seed)
    scores = {}
    for metric in metrics:
        scores[metric.name] = _score(metric, frames, truth, revisits, elsewhere, drawn, notes)
    return WorldScores(
        frames=len(frames),
        revisits=revisits,
        metrics=scores,
        closure=_closure(frames, revisits),
        drift=_drift(frames, truth, revisits),
        notes=tuple(notes),
    )


def _check_lengths(frames: np.ndarray, poses: np.ndarray, truth) -> None:
    if frames.ndim != 4:
        raise ValueError(f"video has shape {frames.shape}, expected [frames, height, width, 3]")
    if len(frames) != len(poses):
        advice = "; frames that were dropped or repeated, or a path that was cut, show in such numbers"
        if are_latents(len(poses), len(frames)):
            advice = " (poses of latent frames can be stretched: cameras.latent_poses, on the command line --stretch)"
        raise ValueError(
            f"the video has {len(frames)} frames but there are {len(poses)} poses; give one pose a frame{advice}"
        )
    if truth is not None and check_frames(truth, name="truth").shape != frames.shape:
        raise ValueError(f"the video has shape {frames.shape}, the truth {truth.shape}; cut or resize one of them")


def are_latents(count: int, frames: int) -> bool:
    """Tell whether a number of poses can be that of the latent frames of a video of so many frames."""
    return 1 < count < frames and ((frames - 1) % (count - 1) == 0 or frames % count == 0)


def _find(poses: np.ndarray, pairs, search: dict) -> Revisits:
    if pairs is not None:
        return given_revisits(pairs, len(poses))
    revisits = find_revisits(poses, **search)
    if len(revisits):
        return revisits
    limits = f"{search['max_angle_degrees']:g} degrees and {search['max_distance']:.3g} units"
    nearest = closest_approach(poses, **{k: v for k, v in search.items() if k != "min_away"})
    closest = "the camera never comes back towards a view that it had left"
    if nearest is not None:
        closest = (
            f"the closest pair is frame {nearest.frame} to frame {nearest.earlier}, {nearest.angle_degrees:.1f} "
            f"degrees and {nearest.distance:.3g} units apart"
        )
    raise ValueError(
        f"no revisit in the trajectory: no frame sees a view again within {limits}, at least {search['min_gap']} "
        f"frames later and after {search['min_away']} frames elsewhere; {closest}; widen the limits, or name pairs"
    )


def _usable(metrics: Sequence[Metric], size: tuple[int, int], notes: list[str]) -> list[Metric]:
    for metric in metrics:
        if min(size) < metric.smallest_side:
            notes.append(
                f"{metric.name} is left out: frames of {size[0]} x {size[1]} pixels are below its "
                f"{metric.smallest_side}"
            )
    return [metric for metric in metrics if min(size) >= metric.smallest_side]


def _random_elsewhere(poses: np.ndarray, revisits: Revisits, search: dict, seed: int) -> np.ndarray:
    """Draw for each revisit an earlier frame of another place, ``[m]``; -1 where there is none."""
    rng, drawn = np.random.default_rng(seed), np.full(len(revisits), -1)
    for i, frame in enumerate(revisits.frames):
        distance, angle = pose_distance(poses[frame], poses[:frame])
        away = (np.rad2deg(angle) > search["max_angle_degrees"]) | (distance > search["max_distance"])
        if away.any():
            drawn[i] = rng.choice(np.flatnonzero(away))
    return drawn


def _score(metric: Metric, frames, truth, revisits: Revisits, elsewhere, drawn_pairs, notes) -> MetricScores:
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
            "truth_seen": _mean(against[~revisited]),
            "truth_first": _mean(against[now[first]]),
            "truth_late": _mean(against[now[~first]]),
            "same_truth": _mean(metric(truth[now], truth[then])),
        }
    against_time = memory_gain(metric, frames, drawn_pairs)
    return MetricScores(
        first=_mean(same[first]),
        late=_mean(same[~first]),
        random=_mean(other),
        headroom=_mean(metric.gain(same, other)),
        **true,
        memory_gain=against_time.gain,
        memory_ratio=against_time.ratio,
    )


def _mean(values: np.ndarray) -> float | None:
    """Average what is defined; ``None`` if nothing is."""
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else None


def _closure(frames: np.ndarray, revisits: Revisits) -> dict:
    longest = int(np.argmax(revisits.frames - revisits.earlier))
    frame, earlier = int(revisits.frames[longest]), int(revisits.earlier[longest])
    difference = as_float(frames[frame]) - as_float(frames[earlier])
    return {"frame": frame, "earlier": earlier, "rmse": float(np.sqrt(np.mean(np.square(difference))))}


def _drift(frames: np.ndarray, truth, revisits: Revisits) -> dict[str, float | None]:
    drift = {"revisits": _slope(revisits.frames, PSNR(frames[revisits.frames], frames[revisits.earlier]))}
    drift["truth"] = None if truth is None else _slope(np.arange(len(frames)), PSNR(frames, truth))
    return drift


def _slope(times: np.ndarray, values: np.ndarray) -> float | None:
    """Fit a line; its slope over 100 frames, or ``None`` for too few frames."""
    if len(np.unique(times)) < _FEWEST_FOR_SLOPE:
        return None
    return float(100 * np.polyfit(times, values, 1)[0])
