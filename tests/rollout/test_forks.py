"""Forks share what they hold, cost nothing until they go on, and never change each other."""

import gc

import jax
import numpy as np
import pytest

from tests.memory.walks import worldkv
from tests.rollout.test_steady_state import compiled
from tests.rollout.worlds import BACKBONE, LENGTH, PARAMS, latents, noise, run, views
from worldkv_jax import memory as wm
from worldkv_jax import rollout as ro
from worldkv_jax.memory.report import fork_bytes

BRANCH = 5
PRUNED = wm.CompressionConfig(keep_ratio=0.5)
CONFIGS = {
    "device": worldkv(compression=PRUNED),
    "device_slots": worldkv(compression=PRUNED, tier="device_slots"),
    "pinned_host": worldkv(compression=PRUNED, tier="pinned_host", storage="int8"),
    "host, drop oldest": worldkv(capacity=4, when_full="drop_oldest", tier="host"),
    "sliding": wm.MemoryConfig(mode="sliding", recent_frames=5),
}
SHARING = ("device_slots", "pinned_host", "host, drop oldest")


def grown(config: wm.MemoryConfig, chunks: int = BRANCH) -> ro.World:
    world = ro.start(BACKBONE, PARAMS, config, chunks=LENGTH)
    return ro.rollout(BACKBONE, PARAMS, world, views(LENGTH)[:chunks], noise=noise)[1]


def go_on(world: ro.World, inputs, draw=noise) -> tuple[list[ro.Chunk], ro.World]:
    return ro.rollout(BACKBONE, PARAMS, world, inputs, noise=draw)


@pytest.mark.parametrize("name", CONFIGS)
def test_branches_go_on_as_if_alone(name):
    config, inputs, others = CONFIGS[name], views(LENGTH), views(LENGTH, seed=7)
    want, _ = run(config, LENGTH, decode=True)
    elsewhere, _ = go_on(grown(config), others[BRANCH:])
    first, second, third = ro.fork(grown(config), 3)
    a, _ = go_on(first, others[BRANCH:])
    b, _ = go_on(second, inputs[BRANCH:])
    c, _ = go_on(third, inputs[BRANCH:])
    np.testing.assert_array_equal(latents(a), latents(elsewhere))
    for made in (b, c):
        np.testing.assert_array_equal(latents(made), latents(want[BRANCH:]))
        for ours, theirs in zip(made, want[BRANCH:]):
            np.testing.assert_array_equal(ours.frames, theirs.frames)


@pytest.mark.parametrize("name", SHARING)
def test_stored_chunks_are_the_same_arrays(name):
    first, second = ro.fork(grown(CONFIGS[name]))
    inputs = views(LENGTH)
    _, first = go_on(first, inputs[BRANCH : BRANCH + 1])
    _, second = go_on(second, inputs[BRANCH : BRANCH + 1])
    shared = [a is b for a, b in zip(first.memory.bank.slots, second.memory.bank.slots) if a is not None]
    assert shared.count(True) >= 3 and shared.count(False) == 1


def test_a_fork_takes_no_work_and_no_bytes():
    """Nothing is computed: all branches are the very arrays of the world."""
    world = grown(CONFIGS["device_slots"])
    gc.collect()  # what other tests left must not go meanwhile
    before = len(jax.live_arrays())
    branches = ro.fork(world, 1000)
    assert len(jax.live_arrays()) == before and len(branches) == 1000
    arrays = [id(leaf) for leaf in jax.tree.leaves(world._replace(shared=None))]
    for branch in branches:
        assert [id(leaf) for leaf in jax.tree.leaves(branch._replace(shared=None))] == arrays


@pytest.mark.parametrize("name", ["device", "device_slots"])
def test_only_the_first_step_copies_and_nothing_compiles_again(name, monkeypatch):
    copies, copy = [], ro.world.snapshot
    monkeypatch.setattr(ro.world, "snapshot", lambda world: copies.append(1) or copy(world))
    inputs, (first, branch) = views(LENGTH), ro.fork(grown(CONFIGS[name]))
    go_on(first, inputs[BRANCH:])  # compiles what is not compiled yet
    compiled.clear()
    for chunk in inputs[BRANCH:]:
        _, branch = go_on(branch, [chunk])
        assert len(copies) == 2
    assert not compiled


def test_what_a_fork_costs_is_known():
    for name, config in CONFIGS.items():
        world = grown(config)
        layout = world.memory.layout
        spans = [world.memory.window] + ([world.memory.bank.slots] if name == "device" else [])
        assert fork_bytes(layout) == sum(leaf.nbytes for leaf in jax.tree.leaves(spans))


@pytest.mark.parametrize("name", ["device", "device_slots"])
def test_a_world_that_was_forked_and_used_again_is_told_apart(name):
    world = grown(CONFIGS[name])
    _, branch = ro.fork(world)
    go_on(world, views(LENGTH)[BRANCH : BRANCH + 1])
    with pytest.raises(ValueError, match="what goes on after a fork is what `fork` returned"):
        go_on(branch, views(LENGTH)[BRANCH:])
    with pytest.raises(ValueError, match="at least one branch"):
        ro.fork(world, 0)


def test_a_watcher_can_keep_every_world():
    config, inputs, kept = CONFIGS["device_slots"], views(LENGTH), []
    world = ro.start(BACKBONE, PARAMS, config, chunks=LENGTH)
    want, _ = ro.rollout(
        BACKBONE, PARAMS, world, inputs, noise=noise, watch=lambda index, chunk, world: kept.append(ro.snapshot(world))
    )
    assert [int(world.position) for world in kept] == list(range(1, LENGTH + 1))
    for world in (*kept[:-1], *kept[:-1]):  # twice: going on does not use it up
        made, _ = go_on(world, inputs[int(world.position) :])
        np.testing.assert_array_equal(latents(made), latents(want[int(world.position) :]))
