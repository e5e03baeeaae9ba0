"""Retrieval rules: what is near, what is noise, and rules of one's own."""

import copy
import dataclasses
import functools
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.memory.walks import FRAMES, SPEC, picked, poses, recall, remember, span, still, worldkv
from worldkv_jax import memory as wm
from worldkv_jax.cameras import pose_from_angles
from worldkv_jax.memory.prefetching import can_prefetch
from worldkv_jax.memory.retrieval import ChoosingRule, PairwiseRule, QueryRule, nearest
from worldkv_jax.memory.rules import RULES


def choose(rule, stored, query, *, chunks=1, keys=None, mean_query=None) -> wm.Picks:
    """Store chunks seen by the given cameras after one sink chunk, then pick for another camera."""
    memory = wm.WorldMemory.create(worldkv(rule=rule, chunks=chunks, recent_frames=0), SPEC, chunks=len(stored) + 1)
    for chunk, view in enumerate([stored[0], *stored]):
        own = span(chunk) if keys is None or chunk == 0 else wm.KVSpan(keys[chunk - 1], span(chunk).values)
        memory = remember(memory, own, view)
    return recall(memory, query, query=mean_query)[1]


def turning(first: float, step: float, position=(0.0, 0.0, 0.0)) -> jnp.ndarray:
    yaw = first + step * np.arange(FRAMES)
    return jnp.asarray(pose_from_angles(yaw, np.zeros(FRAMES), np.asarray([position] * FRAMES)), jnp.float32)[None]


@functools.partial(jax.jit, static_argnums=0)
def scores(rule, query, stored):
    """Scores of one world's chunks ``[C, F, 4, 4]`` against one, every one a candidate."""
    rule = RULES[rule] if isinstance(rule, str) else rule
    describe = jax.vmap(lambda cameras: rule.describe(cameras, None))
    return rule.score(rule.describe_query(query, None), describe(stored), jnp.ones(len(stored), bool))


def test_identical_views_have_distance_zero_even_while_turning():
    view = turning(10, 8, (1, 2, 3))[0]
    stored = jnp.stack([view, still(26, (1, 2, 3))[0], turning(40, 8)[0]])
    ours, paper = scores("camera", view, stored), scores("paper", view, stored)
    assert float(ours[0]) < 1e-6 < float(ours[2])
    assert float(paper[0]) > 0.01, "the published mean makes a turning chunk look far from itself"


@pytest.mark.parametrize("rule", ["camera", "paper", "released"])
@pytest.mark.parametrize("far", [0.0, 1000.0, 1e5])
def test_rounding_noise_of_equal_poses_decides_nothing(rule, far):
    rng = np.random.default_rng(0)
    for yaw in np.arange(0, 360, 23.7):
        pose = np.asarray(pose_from_angles(yaw, yaw / 5, (far, -far / 3, far / 7)), np.float32)
        noisy = pose * (1 + rng.uniform(-1e-7, 1e-7, (7, FRAMES, 4, 4))).astype(np.float32)
        got = scores(rule, noisy[0], noisy[1:])
        np.testing.assert_array_equal(got, np.zeros(6))


@pytest.mark.parametrize("rule", ["camera", "paper", "released"])
def test_noise_of_a_term_that_stays_does_not_drown_the_other(rule):
    """A camera that turns on the spot far from the origin is judged by where it looks, one that walks by where."""
    spot = (812.3, 3.7, -455.1)
    turns = jnp.concatenate([still(yaw, spot) for yaw in (80, 5, 40)])
    jitter = jnp.asarray(np.random.default_rng(1).uniform(-5e-5, 5e-5, (3, FRAMES, 3)), jnp.float32)
    turns = turns.at[:, :, :3, 3].add(jitter)
    assert int(jnp.argmin(scores(rule, still(0, spot)[0], turns))) == 1
    np.testing.assert_allclose(scores(rule, still(0, spot)[0], turns)[0], 0.5, atol=1e-6)
    walks = jnp.concatenate([still(33.3, (x, 0, 0)) for x in (9, 0.5, 4)])
    np.testing.assert_allclose(scores(rule, still(33.3)[0], walks)[0], 0.5, atol=1e-6)


def test_small_scenes_are_not_noise():
    walks = jnp.concatenate([still(0, (x, 0, 0)) for x in (9e-5, 1e-5, 4e-5)])
    for rule in ("camera", "paper", "released"):
        assert int(jnp.argmin(scores(rule, still(0)[0], walks))) == 1


def test_with_tolerance_the_oldest_of_nearly_equal_views_wins():
    stored = [still(4), still(90), still(1), still(0)]
    exact, tolerant = (choose(wm.CameraDistance(tolerance=t), stored, still(0), chunks=3) for t in (0.0, 0.1))
    assert picked(exact) == [4, 3, 1]
    assert picked(tolerant) == [1, 3, 4]
    assert np.asarray(tolerant.scores)[0].tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match=r"tolerance=1 is outside \[0, 1\)"):
        wm.CameraDistance(tolerance=1)


def test_released_rule_squares_translation():
    walks = jnp.concatenate([still(0, (x, 0, 0)) for x in (1, 2, 4)])
    np.testing.assert_allclose(scores("paper", still(0)[0], walks), [0.125, 0.25, 0.5], atol=1e-6)
    np.testing.assert_allclose(scores("released", still(0)[0], walks), [0.03125, 0.125, 0.5], atol=1e-6)


def test_overlap_prefers_the_same_view_to_a_nearer_camera_that_looks_away():
    looks_away, same_view, elsewhere = still(180), still(5, (1.5, 0, 0)), still(90, (3, 0, 0))
    picks = choose("overlap", [looks_away, same_view, elsewhere], still(0))
    assert picked(picks) == [2]
    by_place = wm.CameraDistance(rotation_weight=0.0)
    assert picked(choose(by_place, [looks_away, same_view, elsewhere], still(0))) == [1]


def test_overlap_of_the_same_view_is_whole():
    stored = jnp.concatenate([still(0), still(180)])
    np.testing.assert_allclose(scores("overlap", still(0)[0], stored), [0, 1], atol=1e-6)


def test_attention_rule_picks_the_keys_that_the_query_points_at():
    shape = SPEC.shape(1, SPEC.chunk_tokens)
    keys = [jnp.full(shape, value, jnp.float32) for value in (-1.0, 2.0, 0.5)]
    query = jnp.ones((SPEC.layers, 1, SPEC.heads, SPEC.head_dim))
    picks = choose("attention", [still(0)] * 3, still(0), chunks=2, keys=keys, mean_query=query)
    assert picked(picks) == [2, 3]
    np.testing.assert_allclose(picks.scores[0], [-64.0, -16.0])


def test_attention_rule_says_that_it_needs_a_query():
    memory = wm.WorldMemory.create(worldkv(rule="attention"), SPEC, chunks=5)
    with pytest.raises(ValueError, match=r"needs the next chunk's mean queries .* pass query=\.\.\. to recall"):
        wm.recall(memory, still(0))


@dataclasses.dataclass(frozen=True)
class Youngest:
    """A user's rule: the camera is a clock, and later is nearer."""

    def describe(self, cameras, keys):
        return cameras[:1, 0, 3]

    def describe_query(self, cameras, query):
        return cameras[:1, 0, 3]

    def score(self, query, index, valid):
        return query[0] - index[:, 0]


def test_a_rule_of_ones_own_works():
    picks = choose(Youngest(), [still(0, (x, 0, 0)) for x in (1, 2, 3, 4)], still(0, (9, 0, 0)), chunks=2)
    assert picked(picks) == [4, 3]
    np.testing.assert_allclose(picks.scores[0], [5, 6])


@dataclasses.dataclass(frozen=True)
class Looks(Youngest):
    """A user's rule that asks for queries."""

    needs_query = True


def test_a_rule_of_ones_own_may_ask_for_queries():
    memory = wm.WorldMemory.create(worldkv(rule=Looks()), SPEC, chunks=9)
    assert not can_prefetch(memory.bank.layout)


def test_a_configuration_holds_the_rule_whose_name_it_was_given():
    named, given = wm.RetrievalConfig(rule="overlap"), wm.RetrievalConfig(rule=wm.ViewOverlap())
    assert isinstance(named.rule, wm.ViewOverlap) and named == given and hash(named) == hash(given)
    assert wm.RetrievalConfig().rule == wm.RetrievalConfig.rule == RULES["camera"]
    assert dataclasses.replace(named, chunks=2).rule == given.rule
    assert dataclasses.asdict(named)["rule"] == dataclasses.asdict(wm.ViewOverlap())
    assert pickle.loads(pickle.dumps(named)) == copy.deepcopy(named) == named
    assert "rule=ViewOverlap(" in repr(named)
    with pytest.raises(dataclasses.FrozenInstanceError):
        named.rule = "camera"


def test_what_a_rule_offers_besides_scores_is_seen_in_its_type():
    kinds = {
        name: [kind for kind in (QueryRule, PairwiseRule, ChoosingRule) if isinstance(RULES[name], kind)]
        for name in RULES
    }
    assert all(isinstance(rule, wm.Rule) for rule in RULES.values())
    assert kinds == {
        "camera": [PairwiseRule],
        "paper": [PairwiseRule],
        "released": [PairwiseRule],
        "overlap": [],
        "coverage": [ChoosingRule],
        "attention": [QueryRule],
        "random": [PairwiseRule, ChoosingRule],
        "recent": [PairwiseRule, ChoosingRule],
    }


class NotHashable(Youngest):
    __hash__ = None


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("camra", "did you mean 'camera'"),
        (3, "lacks describe, describe_query, score"),
        (Youngest, "a class, not an instance"),
        (NotHashable(), "cannot be hashed"),
    ],
)
def test_what_is_no_rule_is_refused(rule, says):
    with pytest.raises(ValueError, match=says):
        wm.RetrievalConfig(rule=rule)


def test_rules_check_themselves():
    with pytest.raises(ValueError, match=r"rotation_weight=1\.5 is outside \[0, 1\]"):
        wm.CameraDistance(rotation_weight=1.5)
    with pytest.raises(ValueError, match="did you mean 'proper'"):
        wm.CameraDistance(rotation_mean="propper")
    with pytest.raises(ValueError, match="between 0 and 180"):
        wm.ViewOverlap(fov_degrees=(200, 60))
    with pytest.raises(ValueError, match="0 < near < far"):
        wm.ViewOverlap(near=3.0, far=1.0)
    assert hash(wm.ViewOverlap(fov_degrees=[90, 60])) == hash(wm.ViewOverlap())


def test_nearest_orders_by_score_then_chunk():
    chunks = jnp.asarray([7, 3, 5, 1, -1], jnp.int32)
    valid = jnp.asarray([True, True, True, False, False])
    slots, got = nearest(jnp.asarray([0.5, 0.5, 0.1, 0.0, -1.0]), chunks, valid, 4)
    assert chunks[slots[:3]].tolist() == [5, 3, 7]
    assert got.tolist()[:3] == pytest.approx([0.1, 0.5, 0.5]) and np.isinf(got[3])


def test_camera_distance_agrees_with_a_plain_loop():
    views = poses(7, seed=5)[:, 0]
    got = scores("camera", jax.device_put(views[0]), jax.device_put(views[1:]))

    def mean(view):
        u, _, vt = np.linalg.svd(view[:, :3, :3].astype(np.float64).mean(axis=0))
        return view[:, :3, 3].mean(axis=0), u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt

    place, turn = mean(views[0])
    distances = []
    for view in views[1:]:
        p, r = mean(view)
        angle = np.arccos(np.clip((np.trace(r.T @ turn) - 1) / 2, -1, 1))
        distances.append((np.linalg.norm(p - place), angle))
    distances = np.asarray(distances) / np.max(distances, axis=0)
    np.testing.assert_allclose(got, distances.mean(axis=1), atol=1e-5)
