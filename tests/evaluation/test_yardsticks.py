"""MemoryGain, the Normalised Memory Ratio and MemoryTax, against numbers worked out by hand."""

import numpy as np
import pytest

from tests.evaluation.panorama import there_and_back, world
from worldkv_jax.cameras import pose_from_angles
from worldkv_jax.evaluation import RevisitCriteria, Revisits, score_world
from worldkv_jax.evaluation.memory_gain import PairSets, draw_pairs, memory_gain
from worldkv_jax.evaluation.memory_tax import memory_tax, score_replay
from worldkv_jax.evaluation.metrics import Metric

GREY = np.array([0.0, 0.1, 0.5, 0.2])[:, None, None, None] * np.ones((1, 8, 8, 3))
PAIRS = PairSets(revisit=np.array([[3, 0]]), baseline=np.array([[2, 0], [3, 1]]), short=np.array([[3, 2]]))


def alike(a, b):
    return 1 - np.abs(a - b).mean(axis=(1, 2, 3))


LIKENESS = Metric("likeness", "", True, alike)
DISTANCE = Metric("distance", "", False, lambda a, b: 1 - alike(a, b))


def test_gain_and_ratio_by_hand():
    """R = 0.8, B = (0.5 + 0.9) / 2 = 0.7, S = 0.7 of frames 3 and 2, or 0.9 of frames 1 and 0."""
    got = memory_gain(LIKENESS, GREY, PAIRS)
    assert got.baseline == pytest.approx(0.7) and got.short == pytest.approx(0.7)
    assert got.gain == pytest.approx(0.1) and got.ratio is None  # neighbours are no more alike: nothing to share
    got = memory_gain(LIKENESS, GREY, PAIRS._replace(short=np.array([[1, 0]])))
    assert got.ratio == pytest.approx((0.8 - 0.7) / (0.9 - 0.7))


def test_signs_are_reversed_where_less_is_better():
    pairs = PAIRS._replace(short=np.array([[1, 0]]))
    got = memory_gain(DISTANCE, GREY, pairs)
    assert got.gain == pytest.approx(0.1) and got.ratio == pytest.approx(0.5)
    assert memory_gain(DISTANCE, GREY, pairs._replace(baseline=np.zeros((0, 2), int))).gain is None


def test_controls_are_as_far_apart_in_time_and_see_other_places():
    yaw = np.array([0.0, 30, 60, 90, 60, 30, 0])
    poses = pose_from_angles(yaw, 0.0, np.zeros((7, 3)))
    revisits = Revisits(np.array([6, 5, 4]), np.array([0, 1, 2]), np.ones(3, int))
    drawn = draw_pairs(poses, revisits, max_angle_degrees=10, max_distance=1, seed=0)
    np.testing.assert_array_equal(drawn.short, [[6, 5], [5, 4], [4, 3]])
    gaps = drawn.baseline[:, 0] - drawn.baseline[:, 1]
    assert sorted(gaps.tolist()) == [2, 4]  # six frames apart there is only the revisit itself
    assert (np.abs(yaw[drawn.baseline[:, 0]] - yaw[drawn.baseline[:, 1]]) > 10).all()
    again = draw_pairs(poses, revisits, max_angle_degrees=10, max_distance=1, seed=0)
    np.testing.assert_array_equal(again.baseline, drawn.baseline)


def test_a_world_that_hardly_changes_remembers_nothing():
    criteria = RevisitCriteria(max_angle_degrees=2.0, min_gap=4)
    frames, poses = world(there_and_back(2))
    still = frames[:1] + 0.02 * np.random.default_rng(0).normal(size=frames.shape)
    sharp, dull = (
        score_world(f.clip(0, 1), poses, criteria=criteria).metrics["psnr"] for f in (frames, still.astype(np.float32))
    )
    assert dull.first > 25 and abs(dull.memory_gain) < 1  # alike, and no memory
    assert sharp.memory_gain > 50 and sharp.memory_ratio > 0.9


def test_turns_of_memory_tax():
    for task, degrees, frames in (("A", 90, 324), ("OV", 45, 162)):
        path = memory_tax(task)
        yaw = np.rad2deg(np.arctan2(path.poses[:, 0, 2], path.poses[:, 2, 2]))
        assert path.poses.shape == (frames, 4, 4) and path.pairs == ((0, frames - 1),)
        np.testing.assert_allclose([yaw[0], yaw[frames // 2], yaw[-1]], [0, degrees, 0], atol=1e-3)
        np.testing.assert_allclose(yaw, yaw[::-1], atol=1e-3)
    with pytest.raises(ValueError, match="score_replay"):
        memory_tax("D")
    with pytest.raises(ValueError, match="task of MemoryTax"):
        memory_tax("B")


def test_a_replay_is_scored_on_all_frames():
    assert score_replay(GREY, GREY * 0.5, metrics=(LIKENESS,))["likeness"] == pytest.approx(1 - 0.5 * 0.2)
    with pytest.raises(ValueError, match="the truth"):
        score_replay(GREY, GREY[1:])
