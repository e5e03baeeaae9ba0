"""A batch of worlds is the worlds one by one, whether by the B axis or by vmap."""

import jax
import numpy as np
import pytest

from tests.memory.walks import SPEC, join, picked, poses, recall, remember, span, worldkv
from worldkv_jax import memory as wm

WORLDS, LENGTH = 3, 8
PRUNED = wm.CompressionConfig(keep_ratio=0.5)


def one_world(tree, b: int, axis: int):
    return jax.tree.map(lambda a: np.asarray(a)[(slice(None),) * axis + (slice(b, b + 1),)], tree)


@pytest.mark.parametrize(("rule", "policy"), [("camera", "drop_oldest"), ("overlap", "error"), ("attention", "error")])
def test_a_batch_is_its_worlds_one_by_one(rule, policy):
    config = worldkv(rule=rule, compression=PRUNED, capacity=LENGTH if policy == "error" else 4, when_full=policy)
    batch = wm.WorldMemory.create(config, SPEC, worlds=WORLDS)
    alone = [wm.WorldMemory.create(config, SPEC) for _ in range(WORLDS)]
    cameras, differ = poses(LENGTH, worlds=WORLDS), False
    for chunk in range(LENGTH):
        own = span(chunk, WORLDS)
        query = np.asarray(own.keys).mean(axis=2)
        context, picks = recall(batch, cameras[chunk], query=query)
        batch = remember(batch, own, cameras[chunk])
        chosen = []
        for b in range(WORLDS):
            view = cameras[chunk][b : b + 1]
            want, want_picks = recall(alone[b], view, query=query[:, b : b + 1])
            assert picked(picks, b) == picked(want_picks)
            jax.tree.map(np.testing.assert_array_equal, one_world(join(context), b, axis=1), join(want))
            assert int(context.length) == int(want.length)
            alone[b] = remember(alone[b], one_world(own, b, axis=1), view)
            chosen.append(picked(want_picks))
        differ |= len(set(map(tuple, chosen))) > 1
    assert differ, "the worlds never picked different chunks: nothing was compared"


@pytest.mark.parametrize("policy", ["error", "drop_oldest", "drop_most_redundant"])
def test_vmapped_memories_are_the_memories_one_by_one(policy):
    config = worldkv(compression=PRUNED, capacity=LENGTH if policy == "error" else 4, when_full=policy)
    alone = [wm.WorldMemory.create(config, SPEC) for _ in range(WORLDS)]
    together = jax.tree.map(lambda *leaves: np.stack(leaves), *alone)
    look, take = jax.jit(jax.vmap(wm.recall)), jax.jit(jax.vmap(wm.remember))
    cameras = poses(LENGTH, worlds=WORLDS)
    for chunk in range(LENGTH):
        own = [one_world(span(chunk, WORLDS), b, axis=1) for b in range(WORLDS)]
        views = cameras[chunk][:, None]
        context, picks = look(together, views)
        together = take(together, jax.tree.map(lambda *a: np.stack(a), *own), views)
        for b in range(WORLDS):
            want, want_picks = recall(alone[b], views[b])
            np.testing.assert_array_equal(picks.chunks[b], want_picks.chunks)
            length = int(want.length)
            assert int(context.length[b]) == length
            for got_span, want_span in zip(join(context), join(want)):
                got = np.asarray(got_span)[b][:, :, :length]
                np.testing.assert_array_equal(got, np.asarray(want_span)[:, :, :length])
            alone[b] = remember(alone[b], own[b], views[b])
