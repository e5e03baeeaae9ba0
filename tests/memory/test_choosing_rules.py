"""Rules that choose in their own way: coverage, and the controls at random and by age."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.memory.walks import poses, still
from worldkv_jax import memory as wm
from worldkv_jax.cameras import points_seen
from worldkv_jax.memory.retrieval import choose, needs_query
from worldkv_jax.memory.rules import RULES, RandomChoice

BY_CAMERAS = [name for name, rule in RULES.items() if not needs_query(rule)]


def pick(rule, stored, query, k, *, chunks=None, valid=None):
    """Chunk ids and scores that a rule chooses among views ``[C, F, 4, 4]``."""
    rule = RULES[rule] if isinstance(rule, str) else rule
    count = len(stored)
    chunks = np.asarray(range(count) if chunks is None else chunks, np.int32)
    valid = np.ones(count, bool) if valid is None else np.asarray(valid, bool)
    ids, scores = _pick(rule, stored, query, chunks, valid, k)
    return np.asarray(ids).tolist(), np.asarray(scores)


@functools.partial(jax.jit, static_argnums=(0, 5))
def _pick(rule, stored, query, chunks, valid, k):
    index = jax.vmap(lambda cameras: rule.describe(cameras, None))(stored)
    slots, scores = choose(rule, rule.describe_query(query, None), index, chunks, valid, k)
    return chunks[slots], scores


def views(*yaws):
    return jnp.concatenate([still(yaw) for yaw in yaws])


def test_coverage_prefers_what_is_lacking_to_what_is_nearest():
    stored = views(-45, -33, -20, 40, 90)
    assert pick("overlap", stored, still(0)[0], 2)[0] == [2, 1]
    assert pick("coverage", stored, still(0)[0], 2)[0] == [2, 3]


@pytest.mark.parametrize("tolerance", [0.0, 0.1, 0.6])
def test_coverage_is_greedy_over_the_points_of_the_view(tolerance):
    """Against a plain loop, on random walks."""
    rng = np.random.default_rng(0)
    for seed in range(4):
        walk = jax.device_put(poses(9, seed=seed)[:, 0])
        valid = rng.random(8) < 0.8
        rule = wm.ViewCoverage(repeat=0.25, tolerance=tolerance)
        ids, scores = pick(rule, walk[1:], walk[0], 8, valid=valid)
        seen = np.asarray(points_seen(walk[0], walk[1:]))
        worth, left = np.ones(seen.shape[1]), set(np.flatnonzero(valid))
        for chosen, score in zip(ids[: valid.sum()], scores):
            gains = {slot: (seen[slot] * worth).mean() for slot in left}
            best = max(gains.values())
            oldest = min(slot for slot in left if gains[slot] >= max(best - tolerance, best / 2))
            assert chosen == oldest
            np.testing.assert_allclose(score, 1 - best, atol=1e-6)
            worth = np.where(seen[oldest], worth * 0.25, worth)
            left.remove(oldest)
        assert np.isinf(scores[valid.sum() :]).all()
        assert (np.diff(scores[: valid.sum()]) >= 0).all()  # nearest first


def test_of_views_that_serve_coverage_takes_the_oldest():
    """The older view at -30 has seen two thirds of what is looked at; the one at 170 is older still, and no use."""
    stored = views(170, -30, 0, 35)
    assert pick("coverage", stored, still(0)[0], 2)[0] == [2, 1]
    assert pick(wm.ViewCoverage(tolerance=0.5), stored, still(0)[0], 2)[0] == [1, 2]


@pytest.mark.parametrize("rule", [wm.ViewCoverage, wm.ViewOverlap])
def test_depths_in_travels_do_not_depend_on_the_unit_of_a_scene(rule):
    walk = jax.device_put(poses(9, seed=4)[:, 0])
    by_travel = rule(unit="travel", near=0.5, far=20.0)
    wanted = pick(by_travel, walk[1:], walk[0], 5)
    for factor in (1e-3, 1e3):
        scaled = walk.at[..., :3, 3].multiply(factor)
        ids, scores = pick(by_travel, scaled[1:], scaled[0], 5)
        assert ids == wanted[0]
        np.testing.assert_allclose(scores, wanted[1], atol=1e-2)  # points at the edge of a view may change sides
    moved = np.linalg.norm(walk[1:, -1, :3, 3] - walk[1:, 0, :3, 3], axis=-1) * 3 / 2
    travel = float(np.square(moved).sum() / moved.sum())
    in_scene = rule(near=0.5 * travel, far=20 * travel)
    assert pick(in_scene, walk[1:], walk[0], 5)[0] == wanted[0]


def test_a_camera_that_only_turns_has_no_travel_to_measure_by():
    """What rounding moves it by is no unit, and one frame of a chunk moves nothing."""
    trembling = views(-60, -20, 10, 90).at[..., :3, 3].add(1e-8 * jnp.arange(36, dtype=jnp.float32).reshape(4, 3, 3))
    for stored in (trembling, trembling[:, :1]):
        rule = wm.ViewCoverage(unit="travel")
        assert pick(rule, stored, stored[2], 3)[0] == pick("coverage", stored, stored[2], 3)[0]


def test_coverage_that_repeats_freely_is_overlap():
    walk = jax.device_put(poses(9, seed=3)[:, 0])
    ids, scores = pick(wm.ViewCoverage(repeat=1.0), walk[1:], walk[0], 5)
    expected = pick("overlap", walk[1:], walk[0], 5)
    assert ids == expected[0]
    np.testing.assert_allclose(scores, expected[1], atol=1e-6)


@pytest.mark.parametrize("rule", BY_CAMERAS)
def test_the_order_of_slots_does_not_matter(rule):
    stored, order = jax.device_put(poses(8, seed=1)[:, 0]), np.random.default_rng(1).permutation(8)
    straight = pick(rule, stored, stored[3], 5)
    shuffled = pick(rule, stored[order], stored[3], 5, chunks=order)
    assert straight[0] == shuffled[0]
    np.testing.assert_allclose(straight[1], shuffled[1], atol=1e-6)


def test_equal_views_go_to_the_oldest():
    same = views(0, 0, 0, 0)
    assert pick("coverage", same, still(0)[0], 3, chunks=[9, 2, 7, 4])[0] == [2, 4, 7]


def test_most_recent_are_the_latest_candidates():
    ids, scores = pick("recent", views(*range(6)), still(0)[0], 3, chunks=[3, 8, 1, 9, 5, -1], valid=[1, 1, 1, 0, 1, 0])
    assert ids == [8, 5, 3]
    np.testing.assert_array_equal(scores, [0, 3, 5])


def test_random_choice_is_random_repeatable_and_fair():
    stored = views(*range(10))
    draws = [pick("random", stored, still(yaw)[0], 3)[0] for yaw in range(60)]
    assert draws[7] == pick("random", stored, still(7)[0], 3)[0]
    assert draws[7] != pick(RandomChoice(seed=1), stored, still(7)[0], 3)[0]
    counts = np.bincount(np.concatenate(draws), minlength=10)
    assert counts.min() >= 6 and counts.max() <= 34  # 18 expected each


@pytest.mark.parametrize("rule", BY_CAMERAS)
def test_worlds_choose_for_themselves(rule):
    rule = RULES[rule]
    stored = poses(6, worlds=3)  # [C, B, F, 4, 4]
    chunks, valid = jnp.arange(6, dtype=jnp.int32), jnp.ones(6, bool)

    def choose_one(views, query):
        return _pick(rule, views, query, chunks, valid, 4)[0]

    together = jax.jit(jax.vmap(choose_one, in_axes=(1, 0)))(stored, stored[2])
    for world in range(3):
        np.testing.assert_array_equal(together[world], choose_one(stored[:, world], stored[2, world]))


@dataclasses.dataclass(frozen=True)
class Last:
    """A user's rule with a choice of its own."""

    def describe(self, cameras, keys):
        return jnp.zeros(1)

    def describe_query(self, cameras, query):
        return jnp.zeros(1)

    def score(self, query, index, valid):
        return jnp.zeros(index.shape[0])

    def choose(self, query, index, chunks, valid, k):
        order = jnp.argsort(jnp.where(valid, -chunks, 1))
        return order[:k].astype(jnp.int32), jnp.zeros(k)


def test_a_rule_of_ones_own_may_choose():
    assert pick(Last(), views(0, 1, 2, 3), still(0)[0], 2)[0] == [3, 2]
    assert isinstance(wm.RetrievalConfig(rule=Last()).rule, Last)


def test_coverage_checks_itself():
    with pytest.raises(ValueError, match=r"repeat=1\.5 is outside \[0, 1\]"):
        wm.ViewCoverage(repeat=1.5)
    with pytest.raises(ValueError, match="0 < near < far"):
        wm.ViewCoverage(near=3.0, far=1.0)
    with pytest.raises(ValueError, match="unit of depths"):
        wm.ViewCoverage(unit="metres")
    with pytest.raises(ValueError, match=r"tolerance=1 is outside \[0, 1\)"):
        wm.ViewCoverage(tolerance=1)
