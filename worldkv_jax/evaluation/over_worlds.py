"""Scores of several worlds as means with intervals, and bytes of memory per second of video."""

import dataclasses
from collections.abc import Sequence

from worldkv_jax.evaluation.intervals import Interval, mean_interval
from worldkv_jax.evaluation.memory_scores import MetricScores, WorldScores


def over_worlds(worlds: Sequence[WorldScores], *, confidence: float = 0.95) -> dict[str, dict[str, Interval | None]]:
    """Average every score over the worlds where it is defined.

    Returns:
        Intervals by metric and by score; ``None`` where a score is defined on no world. Loop closure and drift are
        under the names ``closure`` and ``drift``.
    """

    def over(values) -> Interval | None:
        defined = [value for value in values if value is not None]
        return mean_interval(defined, confidence=confidence) if defined else None

    names = list(dict.fromkeys(name for world in worlds for name in world.metrics))
    table = {}
    for name in names:
        scores = [world.metrics[name] for world in worlds if name in world.metrics]
        fields = dataclasses.fields(MetricScores)
        table[name] = {field.name: over(getattr(score, field.name) for score in scores) for field in fields}
    table["closure"] = {"rmse": over(world.closure["rmse"] for world in worlds)}
    table["drift"] = {
        "revisits": over(world.drift["revisits"] for world in worlds),
        "truth": over(world.drift["truth"] for world in worlds),
    }
    return table


def kv_bytes_per_second(kv_bytes: Sequence[int], frames: Sequence[int], fps: float) -> float:
    """Return by how many bytes the memory grows in a second of video, in the later half of a rollout.

    Args:
        kv_bytes: keys and values in memory after each chunk, all tiers.
        frames: video frames of each chunk.
        fps: video frames a second.

    Raises:
        ValueError: fewer than two chunks, or another number of frames.
    """
    if len(kv_bytes) < 2 or len(kv_bytes) != len(frames):
        raise ValueError(f"got bytes of {len(kv_bytes)} chunks and frames of {len(frames)}; give both of 2 or more")
    middle = (len(kv_bytes) - 1) // 2
    return (kv_bytes[-1] - kv_bytes[middle]) / sum(frames[middle + 1 :]) * fps
