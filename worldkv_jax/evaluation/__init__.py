"""Evaluation: fidelity of frames, revisits of a camera path, what a video remembers, where attention falls."""

from worldkv_jax.extras import told

with told():
    from worldkv_jax.evaluation.fidelity import psnr, ssim
    from worldkv_jax.evaluation.intervals import Interval, mean_interval, paired_interval
    from worldkv_jax.evaluation.memory_scores import MetricScores, RevisitCriteria, WorldScores, score_world
    from worldkv_jax.evaluation.metrics import Metric, load_metrics
    from worldkv_jax.evaluation.mind import export_memory_test, export_mirror_test
    from worldkv_jax.evaluation.over_worlds import kv_bytes_per_second, over_worlds
    from worldkv_jax.evaluation.revisits import (
        ClosestApproach,
        Revisits,
        closest_approach,
        find_revisits,
        given_revisits,
        revisit_pairs,
        visit_numbers,
    )

__all__ = [
    "ClosestApproach",
    "Interval",
    "Metric",
    "MetricScores",
    "RevisitCriteria",
    "Revisits",
    "WorldScores",
    "closest_approach",
    "export_memory_test",
    "export_mirror_test",
    "find_revisits",
    "given_revisits",
    "kv_bytes_per_second",
    "load_metrics",
    "mean_interval",
    "over_worlds",
    "paired_interval",
    "psnr",
    "revisit_pairs",
    "score_world",
    "ssim",
    "visit_numbers",
]
