"""Orbax restores what it saved, in every tier, also while the world goes on."""

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from tests.memory.walks import SPEC, poses, span, walk, worldkv
from worldkv_jax import memory as wm

CHUNKS = 7


def empty(tier):
    return wm.WorldMemory.create(worldkv(tier=tier, storage="int8"), SPEC, chunks=CHUNKS)


def recalled(memory, view):
    """What is recalled, for longer than until the memory is consumed."""
    context, picks = wm.recall(memory, view)
    return context.span, context.chunks, picks


@pytest.mark.parametrize("tier", ["device", "device_slots", "pinned_host", "host"])
@pytest.mark.parametrize("kind", [ocp.Checkpointer, ocp.AsyncCheckpointer])
def test_orbax_restores_every_tier(tmp_path, tier, kind):
    *_, step = walk(worldkv(tier=tier, storage="int8"), 5, length=CHUNKS)
    memory, views = step.memory, [jax.device_put(view) for view in poses(CHUNKS)]
    with kind(ocp.StandardCheckpointHandler()) as checkpointer:
        checkpointer.save(tmp_path / "memory", args=ocp.args.StandardSave(memory.to_saved()))
        before = recalled(memory, views[5])
        memory = wm.remember(memory, span(5), views[5])  # an asynchronous save is still under way
    saved = empty(tier).to_saved()
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), saved)
    with ocp.StandardCheckpointer() as checkpointer:
        restored = checkpointer.restore(tmp_path / "memory", shapes).from_saved()
    for old, new in zip(jax.tree.leaves(step.memory.bank), jax.tree.leaves(restored.bank)):
        assert old.sharding.memory_kind == new.sharding.memory_kind
    after = recalled(restored, views[5])
    restored = wm.remember(restored, span(5), views[5])
    ends = [(now, recalled(world, views[6])) for now, world in ((before, memory), (after, restored))]
    for one, other in zip(*map(jax.tree.leaves, ends)):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("tier", ["device_slots", "pinned_host", "host"])
def test_a_memory_that_is_still_as_it_was_saved_takes_no_chunk(tier):
    """Its bank would count from nought, write over other chunks, and lose this one, without a word."""
    *_, step = walk(worldkv(tier=tier, storage="int8"), 5, length=CHUNKS)
    saved, like = step.memory.to_saved(), empty(tier).to_saved()
    restored = jax.tree.unflatten(jax.tree.structure(like), jax.tree.leaves(saved))  # as readers from disk do
    with pytest.raises(ValueError, match=r"has 5 chunks and its bank counts 0: .* call from_saved\(\) on it first"):
        wm.remember(restored, span(5), poses(CHUNKS)[5])
    assert int(wm.remember(restored.from_saved(), span(5), poses(CHUNKS)[5]).chunk) == 6
