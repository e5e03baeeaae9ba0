"""Rules of one's own: what stays of a chunk, what finds it, with weights and by any view."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.memory.walks import FRAMES, SPEC, TOKENS, picked, poses, recall, remember, span, still, walk, worldkv
from worldkv_jax import memory as wm

VIEW = jax.device_put(poses(1)[0])


@dataclasses.dataclass(frozen=True)
class ValueNorm:
    """Keep the tokens with the largest values."""

    def score(self, span, scores, *, frames):
        return jnp.linalg.norm(span.values, axis=(-2, -1))


@dataclasses.dataclass(frozen=True)
class AttentionReceived:
    """Keep the tokens that the model looked at."""

    needs_scores = True

    def score(self, span, scores, *, frames):
        return scores


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Learned:
    """Keep the tokens whose keys point along a learned direction."""

    direction: Any  # [N, H]

    def score(self, span, scores, *, frames):
        return jnp.einsum("ltnh,nh->lt", span.keys, self.direction)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LearnedRetrieval:
    """Find chunks by a learned projection of an embedding of each frame."""

    weights: Any  # [E, D]
    view = jax.ShapeDtypeStruct((6,), jnp.float32)

    def describe(self, view, keys):
        return view.mean(axis=0) @ self.weights

    def describe_query(self, view, query):
        return view.mean(axis=0) @ self.weights

    def score(self, query, index, valid):
        return -index @ query


@dataclasses.dataclass(frozen=True)
class TwoPlayers:
    """Find chunks that either of two players has seen; both have a cell of the map and a camera."""

    view = {"cell": jax.ShapeDtypeStruct((2, 2), jnp.int32), "camera": jax.ShapeDtypeStruct((2, 4, 4), jnp.float32)}  # noqa: RUF012

    def describe(self, view, keys):
        return view["cell"].astype(jnp.float32).mean(axis=0).reshape(-1)

    def describe_query(self, view, query):
        return self.describe(view, None)

    def score(self, query, index, valid):
        return jnp.abs(index - query[None]).sum(axis=-1)


def stored(memory, slot=0):
    return np.asarray(memory.bank.slots.values)[slot]


def pruned(rule, *, keep_tokens=5, **others):
    return worldkv(compression=wm.CompressionConfig(keep_tokens=keep_tokens, rule=rule, **others), sink_frames=0)


@pytest.mark.parametrize("worlds", [1, 2])
def test_tokens_of_the_largest_values_stay(worlds):
    own = wm.KVSpan(*(jax.random.normal(jax.random.key(i), SPEC.shape(worlds, SPEC.chunk_tokens)) for i in range(2)))
    view = jax.device_put(poses(1, worlds=worlds)[0])
    memory = wm.WorldMemory.create(pruned(ValueNorm()), SPEC, worlds=worlds, chunks=4)
    assert memory.layout.bank.kept_tokens == 5
    memory = remember(memory, own, view)
    norms = np.linalg.norm(np.asarray(own.values), axis=(-2, -1))
    for layer in range(SPEC.layers):
        for world in range(worlds):
            best = np.sort(np.argsort(-norms[layer, world])[:5])
            np.testing.assert_array_equal(stored(memory)[layer, world], own.values[layer, world][best])


@pytest.mark.parametrize("tier", ["device", "host"])
@pytest.mark.parametrize("frames", [1, 3])
def test_tokens_that_received_attention_stay(tier, frames):
    """Also of several frames that are stored as one chunk, whose scores arrive one by one."""
    spec = dataclasses.replace(SPEC, chunk_frames=frames, store_frames=3)
    config = dataclasses.replace(pruned(AttentionReceived()), bank=wm.BankConfig(tier=tier))
    memory = wm.WorldMemory.create(config, spec, chunks=4 * 3 // frames)
    scores = jax.random.uniform(jax.random.key(0), (2, 1, 12))
    verb = remember if tier == "device" else wm.remember
    for i in range(3 // frames):
        part = slice(i * spec.chunk_tokens, (i + 1) * spec.chunk_tokens)
        own = jax.tree.map(lambda a: a[:, :, part], span(0))  # noqa: B023
        memory = verb(memory, own, VIEW[:, :frames], scores=scores[:, :, part])
    for layer in range(2):
        best = np.sort(np.argsort(-np.asarray(scores[layer, 0]))[:5])
        kept = memory.bank.slots[0][0].values if tier == "host" else stored(memory)[:, 0]
        assert np.asarray(kept)[layer, :, 0, 0].tolist() == best.tolist()


def test_pruning_at_retrieval_takes_a_rule_as_well():
    *_, step = walk(pruned(ValueNorm(), at="retrieval"), 6)
    rows = np.asarray(step.context.chunks[0]) == int(step.picks.chunks[0, 0])
    values = np.asarray(step.context.span.values)[0, 0, rows, 0, 0] % SPEC.chunk_tokens
    assert values.tolist() == [7, 8, 9, 10, 11]  # values count tokens: the last are the largest


def test_weights_of_both_rules_travel_beside_the_memory():
    direction = jax.random.normal(jax.random.key(0), (2, 8))
    rule, finder = Learned(direction), LearnedRetrieval(jnp.eye(6)[:, :3])
    config = worldkv(rule=finder, chunks=1, sink_frames=0, compression=wm.CompressionConfig(keep_tokens=5, rule=rule))
    memory = wm.WorldMemory.create(config, SPEC, chunks=8)
    take = jax.jit(wm.remember)
    views = jax.random.normal(jax.random.key(1), (8, 1, FRAMES, 6))
    for chunk in range(6):
        memory = take(memory, span(chunk), views[chunk], rule=finder, compression_rule=rule)
    best = np.sort(np.argsort(-np.einsum("tnh,nh->t", span(2).keys[0, 0], direction))[:5])
    np.testing.assert_array_equal(stored(memory, 2)[0, 0, :, 0, 0], 24 + best)
    choose = jax.jit(lambda rule, view: wm.select(memory, view, rule=rule))
    means = np.asarray(views[:5].mean(axis=(1, 2)))
    for weights in (jnp.eye(6)[:, :3], jnp.eye(6)[:, 1:4]):
        finder = LearnedRetrieval(weights)
        projected = (means[:5] @ np.asarray(jnp.eye(6)[:, :3])) @ (np.asarray(views[7].mean(axis=(0, 1))) @ weights)
        assert picked(choose(finder, views[7])) == [int(np.argmax(projected))]
    assert choose._cache_size() == 1

    def loss(finder):
        return wm.select(memory, views[7], rule=finder).scores.sum()

    assert np.abs(jax.grad(loss)(finder).weights).max() > 0
    with pytest.raises(ValueError, match=r"retrieval.rule=LearnedRetrieval carries arrays.*`rule=`"):
        wm.recall(memory, views[7])
    with pytest.raises(ValueError, match=r"the memory was made with retrieval\.rule"):
        wm.recall(memory, views[7], rule=LearnedRetrieval(jnp.eye(6)))


def test_a_view_is_whatever_the_rule_looks_at():
    memory = wm.WorldMemory.create(worldkv(rule=TwoPlayers(), chunks=2, capacity=9), SPEC)

    def seen(x):
        return {
            "cell": jnp.full((1, FRAMES, 2, 2), x, jnp.int32),
            "camera": jnp.broadcast_to(jnp.eye(4), (1, FRAMES, 2, 4, 4)),
        }

    for chunk in range(7):
        memory = remember(memory, span(chunk), seen(chunk))
    context, picks = recall(memory, seen(3))
    assert picked(picks) == [3, 2] and set(np.asarray(context.chunks[0]).tolist()) == {0, 2, 3, 6}
    with pytest.raises(ValueError, match=r"expected \{'camera': \(1, 3, 2, 4, 4\), 'cell': \(1, 3, 2, 2\)\}"):
        wm.recall(memory, VIEW)
    mesh = jax.make_mesh((2,), ("data",))
    worlds = wm.WorldMemory.create(worldkv(rule=TwoPlayers(), chunks=2, capacity=9), SPEC, worlds=2)
    placed = jax.device_put(worlds, wm.shardings(worlds, mesh, worlds="data"))
    both = jax.tree.map(lambda x: jnp.concatenate([x, x]), seen(3))
    with jax.set_mesh(mesh):
        assert int(jax.jit(wm.recall)(placed, both)[1].count) == 0


def test_one_choice_serves_two_memories():
    config = worldkv(chunks=2, capacity=8)
    narrow = dataclasses.replace(SPEC, layers=1)
    first, second = (wm.WorldMemory.create(config, spec) for spec in (SPEC, narrow))
    for chunk in range(7):
        first = remember(first, span(chunk), still(30 * chunk))
        second = remember(second, span(chunk, 1, narrow), still(0))
    picks = wm.select(first, still(60))
    assert picked(picks) == [2, 3] or picked(picks) == [2, 1]
    contexts = [recall(memory, still(60), picks=picks)[0] for memory in (first, second)]
    np.testing.assert_array_equal(contexts[0].chunks, contexts[1].chunks)


def test_what_does_not_fit_is_said():
    memory = wm.WorldMemory.create(pruned(AttentionReceived()), SPEC, chunks=4)
    with pytest.raises(ValueError, match=r"AttentionReceived needs the tokens' scores"):
        wm.remember(memory, span(0), VIEW)
    with pytest.raises(ValueError, match=r"scores have shape \(2, 12\), expected \(2, 1, 12\)"):
        wm.remember(memory, span(0), VIEW, scores=jnp.zeros((2, 12)))
    memory = wm.WorldMemory.create(pruned(ValueNorm()), SPEC, chunks=4)
    with pytest.raises(ValueError, match="does not look at them"):
        wm.remember(memory, span(0), VIEW, scores=jnp.zeros((2, 1, 12)))
    for wrong in (ValueNorm, lambda span: span, object()):
        with pytest.raises(ValueError, match="is no compression rule"):
            wm.CompressionConfig(rule=wrong)
    with pytest.raises(ValueError, match="cannot be hashed"):
        wm.CompressionConfig(
            rule=dataclasses.make_dataclass("Open", ["a"], bases=(ValueNorm,), eq=True, frozen=True)([1])
        )
    for wrong in (AttentionReceived(), Learned(jnp.zeros((2, 8)))):
        with pytest.raises(ValueError, match="at='store'"):
            wm.CompressionConfig(rule=wrong, at="retrieval")
    with pytest.raises(ValueError, match="keep_tokens=13 does not fit"):
        wm.WorldMemory.create(pruned(ValueNorm(), keep_tokens=13), SPEC, chunks=4)


@pytest.mark.parametrize("pooled", [True, False])
def test_rows_of_a_context_say_chunk_and_frame(pooled):
    config = worldkv(compression=wm.CompressionConfig(keep_ratio=0.5, pooled=pooled))
    for step in walk(config, 8):
        length = int(step.context.length)
        values = np.asarray(step.context.span.values)[0, 0, :, 0, 0].astype(int)[:length]
        chunks, frames = (np.asarray(rows)[0] for rows in (step.context.chunks, step.context.frames))
        assert (chunks[length:] == -1).all() and (frames[length:] == -1).all()
        np.testing.assert_array_equal(chunks[:length], values // SPEC.chunk_tokens)
        known = frames[:length] >= 0
        np.testing.assert_array_equal(frames[:length][known], values[known] // TOKENS)
        unknown = pooled * SPEC.chunk_tokens // 3 * int(step.picks.count)
        assert np.sum(~known) == unknown
