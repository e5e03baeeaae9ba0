"""Revisits: a known loop, agreement with a plain loop over frames, limits."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from worldkv_jax.cameras import pose_distance, pose_from_angles
from worldkv_jax.evaluation import revisit_pairs, revisits, visit_numbers

LIMITS = {"max_angle_degrees": 10.0, "max_distance": 0.5}


def turn(*degrees):
    return pose_from_angles(np.array(degrees, float), 0, np.zeros((len(degrees), 3)))


def test_a_loop_pairs_each_frame_with_its_view_one_lap_before():
    lap = np.arange(0, 360, 15)
    pairs = revisit_pairs(turn(*lap, *lap), **LIMITS, min_gap=3)
    np.testing.assert_array_equal(pairs, np.stack([np.arange(24, 48), np.arange(24)], axis=1))


def test_the_nearest_view_wins_and_the_earliest_of_equal_ones():
    pairs = revisit_pairs(turn(8, 2, 2, 90, 90, 0), **LIMITS, min_gap=2)
    assert [5, 1] in pairs.tolist()


def test_limits_and_gap_are_inclusive():
    poses = pose_from_angles(np.array([0.0, 90, 10]), 0, np.array([[0, 0, 0], [9, 0, 0], [0, 0, 0.5]]))
    limits = {"max_angle_degrees": 10 + 1e-9, "max_distance": 0.5}
    assert revisit_pairs(poses, **limits, min_gap=2).tolist() == [[2, 0]]
    assert revisit_pairs(poses, **limits, min_gap=3).shape == (0, 2)
    assert revisit_pairs(poses, max_angle_degrees=9.9, max_distance=0.5, min_gap=2).shape == (0, 2)
    assert revisit_pairs(poses, max_angle_degrees=11, max_distance=0.4, min_gap=2).shape == (0, 2)


def random_walk(count):
    rng = np.random.default_rng(count)
    poses = pose_from_angles(np.cumsum(rng.normal(scale=9, size=count)), rng.normal(scale=3, size=count))
    poses[:, :3, 3] = np.cumsum(rng.normal(scale=0.1, size=(count, 3)), axis=0)
    return poses


@pytest.mark.parametrize("block", [1, 700, 2**17])
def test_blocks_agree_with_a_plain_loop(block, monkeypatch):
    monkeypatch.setattr(revisits, "_BLOCK_PAIRS", block)
    poses, pairs, numbers = random_walk(150), [], []
    for i in range(len(poses)):
        distance, angle = pose_distance(poses[i], poses[: i + 1])
        near = (np.rad2deg(angle) <= 10) & (distance <= 0.5)
        closeness = np.where(near, np.rad2deg(angle) / 10 + distance / 0.5, np.inf)[: max(0, i - 4)]
        if np.isfinite(closeness).any():
            pairs.append([i, int(closeness.argmin())])
        numbers.append(int((np.diff(np.flatnonzero(near)) > 2).sum()))  # two frames away or more
    np.testing.assert_array_equal(revisit_pairs(poses, **LIMITS, min_gap=5), pairs)
    np.testing.assert_array_equal(visit_numbers(poses, **LIMITS, min_away=2), numbers)
    assert len(pairs) > 30 and max(numbers) > 1


def test_visits_are_counted_by_leaving_and_coming_back():
    # Looks at 0 for three frames, away for two, back for two, away for one, back.
    poses = turn(0, 1, 2, 90, 91, 1, 0, 90, 0)
    assert visit_numbers(poses, **LIMITS).tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 2]
    assert visit_numbers(poses, **LIMITS, min_away=2).tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 1]


def test_standing_still_and_panning_are_one_visit():
    assert not visit_numbers(turn(*[30] * 20), **LIMITS).any()
    assert not visit_numbers(turn(*range(0, 300, 3)), **LIMITS).any()


def test_three_laps():
    lap = np.arange(0, 360, 15)
    numbers = visit_numbers(turn(*lap, *lap, *lap), **LIMITS)
    np.testing.assert_array_equal(numbers, np.repeat([0, 1, 2], 24))


def test_the_world_frame_does_not_matter():
    world = np.eye(4)
    world[:3, :3], world[:3, 3] = Rotation.from_euler("xyz", [0.3, 1, -2]).as_matrix(), (4, -2, 1)
    poses = random_walk(60)
    for function in (lambda p: revisit_pairs(p, **LIMITS, min_gap=4), lambda p: visit_numbers(p, **LIMITS)):
        np.testing.assert_array_equal(function(world @ poses), function(poses))


def test_errors_say_what_is_wrong():
    poses = turn(0, 10)
    with pytest.raises(ValueError, match="min_gap=0"):
        revisit_pairs(poses, **LIMITS, min_gap=0)
    with pytest.raises(ValueError, match="max_angle_degrees=0"):
        revisit_pairs(poses, max_angle_degrees=0, max_distance=1, min_gap=1)
    with pytest.raises(ValueError, match="max_distance=nan"):
        visit_numbers(poses, max_angle_degrees=5, max_distance=np.nan)
    with pytest.raises(ValueError, match=r"got shape \(4, 4\)"):
        visit_numbers(poses[0], **LIMITS)
