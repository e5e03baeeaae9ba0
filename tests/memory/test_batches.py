"""A batch of worlds is the worlds one by one, whether by the B axis or by vmap."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.memory.walks import SPEC, picked, poses, recall, remember, span, worldkv
from worldkv_jax import memory as wm

WORLDS, LENGTH = 3, 8
PRUNED = wm.CompressionConfig(keep_ratio=0.5)


def one_world(tree, b: int, axis: int):
    return jax.tree.map(lambda a: jax.lax.slice_in_dim(a, b, b + 1, axis=axis), tree)


@pytest.mark.parametrize(("rule", "policy"), [("camera", "drop_oldest"), ("overlap", "error"), ("attention", "error")])
def test_a_batch_is_its_worlds_one_by_one(rule, policy):
    config = worldkv(rule=rule, compression=PRUNED, capacity=LENGTH if policy == "error" else 4, when_full=policy)
    batch = wm.WorldMemory.create(config, SPEC, worlds=WORLDS)
    alone = [wm.WorldMemory.create(config, SPEC) for _ in range(WORLDS)]
    cameras, differ = jnp.asarray(poses(LENGTH, worlds=WORLDS)), False
    for chunk in range(LENGTH):
        own = span(chunk, WORLDS)
        query = own.keys.mean(axis=2)
        context, picks = recall(batch, cameras[chunk], query=query)
        batch = remember(batch, own, cameras[chunk])
        chosen = []
        for b in range(WORLDS):
            view = cameras[chunk][b : b + 1]
            want, want_picks = recall(alone[b], view, query=query[:, b : b + 1])
            assert picked(picks, b) == picked(want_picks)
            got = one_world(context.span, b, axis=1)
            jax.tree.map(np.testing.assert_array_equal, got, want.span)
            assert int(context.length) == int(want.length)
            alone[b] = remember(alone[b], one_world(own, b, axis=1), view)
            chosen.append(picked(want_picks))
        differ |= len(set(map(tuple, chosen))) > 1
    assert differ, "the worlds never picked different chunks: nothing was compared"


@pytest.mark.parametrize("policy", ["error", "drop_oldest", "drop_most_redundant"])
def test_vmapped_memories_are_the_memories_one_by_one(policy):
    config = worldkv(compression=PRUNED, capacity=LENGTH if policy == "error" else 4, when_full=policy)
    alone = [wm.WorldMemory.create(config, SPEC) for _ in range(WORLDS)]
    together = jax.tree.map(lambda *leaves: jnp.stack(leaves), *alone)
    look, take = jax.jit(jax.vmap(wm.recall)), jax.jit(jax.vmap(wm.remember))
    cameras = jnp.asarray(poses(LENGTH, worlds=WORLDS))
    for chunk in range(LENGTH):
        own = [one_world(span(chunk, WORLDS), b, axis=1) for b in range(WORLDS)]
        views = cameras[chunk][:, None]
        context, picks = look(together, views)
        together = take(together, jax.tree.map(lambda *a: jnp.stack(a), *own), views)
        for b in range(WORLDS):
            want, want_picks = recall(alone[b], views[b])
            np.testing.assert_array_equal(picks.chunks[b], want_picks.chunks)
            length = int(want.length)
            assert int(context.length[b]) == length
            for got_span, want_span in zip(context.span, want.span):
                np.testing.assert_array_equal(got_span[b][:, :, :length], want_span[:, :, :length])
            alone[b] = remember(alone[b], own[b], views[b])
