"""Evaluation: fidelity of frames, revisits of a camera path, what a video remembers, where attention falls."""

from worldkv_jax.extras import optional_imports

with optional_imports():
    from worldkv_jax.evaluation.fidelity import psnr, ssim
    from worldkv_jax.evaluation.intervals import Interval, mean_interval, paired_interval
    from worldkv_jax.evaluation.memory_gain import MemoryGain, PairSets, draw_pairs, memory_gain
    from worldkv_jax.evaluation.memory_scores import MetricScores, RevisitCriteria, WorldScores, score_world
    from worldkv_jax.evaluation.memory_tax import TaxPath, memory_tax, score_replay
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
    "MemoryGain",
    "Metric",
    "MetricScores",
    "PairSets",
    "RevisitCriteria",
    "Revisits",
    "TaxPath",
    "WorldScores",
    "closest_approach",
    "draw_pairs",
    "export_memory_test",
    "export_mirror_test",
    "find_revisits",
    "given_revisits",
    "kv_bytes_per_second",
    "load_metrics",
    "mean_interval",
    "memory_gain",
    "memory_tax",
    "over_worlds",
    "paired_interval",
    "psnr",
    "revisit_pairs",
    "score_replay",
    "score_world",
    "ssim",
    "visit_numbers",
]
