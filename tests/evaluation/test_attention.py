"""Where a model looks: rows named, masses against a plain softmax, correlation, and what rules would have brought."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import spearmanr

from tests.memory.walks import SPEC, poses, walk, worldkv
from tests.rollout.tiny_backbone import BlindBackbone, TinyBackbone
from worldkv_jax import memory as wm
from worldkv_jax.evaluation.attention import attention_map, attention_mass, rank_correlation
from worldkv_jax.evaluation.attention_rules import covered_mass, rule_picks
from worldkv_jax.rollout import AttentionQueries, chunk_inputs, generate_chunk, start

CHUNKS = 12
MEMORIES = {
    "full": wm.MemoryConfig(mode="full"),
    "sliding": wm.MemoryConfig(mode="sliding", recent_frames=6),
    "sink and recent": wm.MemoryConfig(mode="sink_recent", recent_frames=3),
    "worldkv": worldkv(chunks=3, recent_frames=3),
    "no sink, no recent": worldkv(chunks=2, sink_frames=0, recent_frames=0),
    "pruned": worldkv(chunks=3, compression=wm.CompressionConfig(keep_ratio=0.5)),
    "official": wm.OFFICIAL,
    "official, three chunks": dataclasses.replace(
        wm.OFFICIAL, retrieval=dataclasses.replace(wm.OFFICIAL.retrieval, chunks=3)
    ),
}


@pytest.mark.parametrize("name", MEMORIES)
def test_rows_are_named_by_the_tokens_they_hold(name):
    """The values of a walk hold the number of their token since the beginning of the world."""
    for step in walk(MEMORIES[name], CHUNKS, worlds=2):
        rows = np.asarray(step.context.chunks)
        assert rows.shape == (2, step.context.span.keys.shape[2])
        length = int(step.context.length)
        tokens = np.asarray(step.context.span.values)[0, :, :length, 0, 0]
        np.testing.assert_array_equal(rows[:, :length], tokens // SPEC.chunk_tokens)
        assert (rows[:, length:] == -1).all()


def rolled(backbone, config, chunks=5):
    """A world after some chunks, and the input of the next."""
    params = backbone.init_params()
    inputs = chunk_inputs(np.moveaxis(poses(chunks + 1, worlds=2), 0, 1).reshape(2, -1, 4, 4), backbone.spec)
    world = start(backbone, params, config, chunks=CHUNKS, worlds=2)
    for i in range(chunks):
        noise = jax.random.normal(jax.random.key(i), (2, 2, *backbone.latent_shape))
        _, world = generate_chunk(backbone, params, world, inputs[i], noise)
    return params, world, inputs[chunks]


@pytest.mark.parametrize("config", [MEMORIES["full"], worldkv(chunks=2, recent_frames=3), worldkv(rule="attention")])
def test_masses_are_those_of_a_plain_softmax(config):
    backbone = TinyBackbone()
    params, world, chunk = rolled(backbone, config)
    x = jax.random.normal(jax.random.key(9), (2, *backbone.latent_shape))
    seen = attention_map(backbone, params, world, chunk, x, 1.0, chunks=CHUNKS)
    assert seen.mass.shape == (2, 2, 2, CHUNKS) and not seen.mass[..., 5:].any()
    rows = np.asarray(seen.context.chunks)
    for layer in range(2):
        for b in range(2):
            past, own = (np.asarray(k)[layer, b] for k in (seen.context.span.keys, seen.queries.keys))
            logits = np.einsum("tnh,wnh->ntw", np.asarray(seen.queries.query)[layer, b], np.concatenate([own, past]))
            logits[..., len(own) :][..., rows[b] < 0] = -np.inf
            weights = np.exp(logits / np.sqrt(own.shape[-1]))
            weights = (weights / weights.sum(-1, keepdims=True))[..., len(own) :].mean(axis=1)
            expected = [weights[:, rows[b] == c].sum(-1) for c in range(CHUNKS)]
            np.testing.assert_allclose(seen.mass[layer, b], np.stack(expected, -1), rtol=1e-4, atol=1e-6)
    assert int(world.memory.chunk) == 5  # the world is left as it is: the rollout can go on
    generate_chunk(backbone, params, world, chunk, jnp.zeros((2, 2, *backbone.latent_shape)))


def test_a_sample_of_queries_is_near_all_of_them():
    rng = np.random.default_rng(0)
    queries = AttentionQueries(None, *(jnp.asarray(rng.normal(size=(1, 1, 64, 2, 8)), jnp.float32) for _ in range(2)))
    past = jnp.asarray(rng.normal(size=(1, 1, 30, 2, 8)), jnp.float32)
    context = wm.Context((wm.KVSpan(past, past),), jnp.int32(30))
    rows = jnp.repeat(jnp.arange(3), 10)[None]
    every, some = (attention_mass(queries, context, rows, chunks=3, most=q) for q in (64, 16))
    np.testing.assert_allclose(some, every, atol=0.05)
    assert not np.array_equal(some, every)


def test_a_hidden_chunk_does_not_look_at_itself():
    rng = np.random.default_rng(0)
    queries = AttentionQueries(None, *(jnp.asarray(rng.normal(size=(1, 1, 6, 2, 8)), jnp.float32) for _ in range(2)))
    past = jnp.asarray(rng.normal(size=(1, 1, 4, 2, 8)), jnp.float32)
    rows = jnp.asarray([[0, 0, 1, -1]])
    for hides, total in ((True, 1.0), (False, None)):
        context = wm.Context((wm.KVSpan(past, past),), jnp.int32(3), jax.device_put(hides))
        mass = np.asarray(attention_mass(queries, context, rows, chunks=2)).sum(-1)
        assert (mass < 0.95).all() if total is None else np.allclose(mass, 1, atol=1e-6)


def test_a_backbone_without_the_hook_is_told_what_it_lacks():
    params, world, chunk = rolled(TinyBackbone(), MEMORIES["full"], chunks=1)
    x = jnp.zeros((2, *TinyBackbone().latent_shape))
    with pytest.raises(ValueError, match="BlindBackbone has no `attention_queries` method"):
        attention_map(BlindBackbone(), params, world, chunk, x, 1.0, chunks=CHUNKS)


def test_rank_correlation_is_scipys():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 5, (4, 9)), rng.normal(size=(4, 9))
    expected = [spearmanr(x, y).statistic for x, y in zip(a, b)]
    np.testing.assert_allclose(rank_correlation(a, b), expected, rtol=1e-6)
    assert np.isnan(rank_correlation([1, 1, 1], [1, 2, 3]))
    assert rank_correlation([1, 2, 3], [10, 20, 400]) == pytest.approx(1)


def test_covered_mass_against_the_best_choice():
    mass = np.array([[0.1, 0.4, 0.2, 0.3], [0.25, 0.25, 0.25, 0.25]])
    held, best = covered_mass(mass, np.array([[0, 1], [2, 3]]), np.array([True, True, True, False]))
    np.testing.assert_allclose(held, [0.5 / 0.7, 1 / 3])
    np.testing.assert_allclose(best, [0.6 / 0.7, 2 / 3])


def test_rules_choose_as_they_do_in_a_memory():
    """The picks of a memory with the rule, whose candidates are the chunks that left the window."""
    cameras = poses(8, worlds=2, seed=4)
    keys = jnp.zeros((1, 2, 7, 4, 1, 8))
    valid = (jnp.arange(7) >= 1) & (jnp.arange(7) < 6)
    for rule in ("camera", "coverage", "recent"):
        config = worldkv(rule=rule, chunks=3, recent_frames=3)
        *_, last = walk(config, 8, worlds=2, cameras=cameras)
        past = jax.device_put(np.moveaxis(cameras[:7], 0, 1))
        query = jnp.zeros((1, 2, 1, 8))
        got = rule_picks(config.retrieval.rule, past, keys, jax.device_put(cameras[7]), query, valid, k=3)
        np.testing.assert_array_equal(got, last.picks.chunks)
