"""A rollout that is saved, restored and continued is the rollout that never stopped."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from checkpoints.pytrees import load_pytree, save_pytree
from tests.memory.walks import SPEC, worldkv
from tests.rollout.worlds import BACKBONE, LENGTH, PARAMS, latents, noise, run, views
from worldkv_jax import memory as wm
from worldkv_jax import rollout as ro

PRUNED = wm.CompressionConfig(keep_ratio=0.5)
PAUSE = 5
CONFIGS = {
    "device": worldkv(compression=PRUNED),
    "pinned_host": worldkv(compression=PRUNED, tier="pinned_host"),
    "host": worldkv(compression=PRUNED, tier="host"),
    "device, in int8": worldkv(compression=PRUNED, storage="int8"),
    "pinned_host, in float8": worldkv(compression=PRUNED, tier="pinned_host", storage="float8"),
    "host, in int8": worldkv(compression=PRUNED, tier="host", storage="int8"),
    "host, drop oldest": worldkv(capacity=4, when_full="drop_oldest", tier="host"),
    "host, drop most redundant": worldkv(capacity=3, when_full="drop_most_redundant", tier="host"),
    "sliding": wm.MemoryConfig(mode="sliding", recent_frames=5),
    "full": wm.MemoryConfig(mode="full"),
}


QUICK = ("device", "host, in int8", "sliding")
"""Of each kind one; sessions save all of them too, and `tests/memory/test_orbax.py` restores every tier."""


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.long) for name in CONFIGS]
)
def test_restored_worlds_continue_bit_for_bit(name, tmp_path):
    config, inputs = CONFIGS[name], views(LENGTH)
    want, _ = run(config, LENGTH)
    world = ro.start(BACKBONE, PARAMS, config, chunks=LENGTH)
    _, world = ro.rollout(BACKBONE, PARAMS, world, inputs[:PAUSE], noise=noise, decode=False)
    text = repr(world.memory)
    save_pytree(tmp_path / "world", world)
    del world
    world = load_pytree(tmp_path / "world", ro.start(BACKBONE, PARAMS, config, chunks=LENGTH))
    assert repr(world.memory) == text
    got, world = ro.rollout(BACKBONE, PARAMS, world, inputs[PAUSE:], noise=noise, decode=False)
    np.testing.assert_array_equal(latents(got), latents(want[PAUSE:]))
    for ours, theirs in zip(got, want[PAUSE:]):
        np.testing.assert_array_equal(ours.retrieved, theirs.retrieved)
    assert int(world.memory.chunk) == LENGTH


@pytest.mark.parametrize("tier", ["pinned_host", "host"])
def test_restored_chunks_are_in_their_tier_and_empty_slots_are_empty(tier, tmp_path):
    config = worldkv(compression=PRUNED, tier=tier, capacity=6)
    _, world = run(config, 4)
    fresh = ro.start(BACKBONE, PARAMS, config, chunks=4)
    save_pytree(tmp_path / "world", world)
    bank = load_pytree(tmp_path / "world", fresh).memory.bank
    assert bank.offered == 4
    assert [slot is None for slot in bank.slots] == [slot is None for slot in world.memory.bank.slots]
    for got, want in zip(bank.slots, world.memory.bank.slots):
        assert got is None or got[0].keys.sharding == want[0].keys.sharding
    assert 0 < bank.slots.count(None) < len(bank.slots)


def test_the_decoder_goes_on_where_it_was(tmp_path):
    config, inputs = worldkv(), views(4)
    whole, _ = run(config, 4, decode=True)
    world = ro.start(BACKBONE, PARAMS, config, chunks=4)
    _, world = ro.rollout(BACKBONE, PARAMS, world, inputs[:2], noise=noise)
    save_pytree(tmp_path / "world", world)
    fresh = ro.start(BACKBONE, PARAMS, config, chunks=4)
    fresh = fresh._replace(decoder=BACKBONE.init_decoder(PARAMS, 1))
    world = load_pytree(tmp_path / "world", fresh)
    made, _ = ro.rollout(BACKBONE, PARAMS, world, inputs[2:], noise=noise)
    for ours, theirs in zip(made, whole[2:]):
        np.testing.assert_array_equal(ours.frames, theirs.frames)


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (dataclasses.replace(CONFIGS["device"], bank=wm.BankConfig(capacity=7)), r"slots/keys: stored .*, expected"),
        (CONFIGS["host"], "stored, but not expected"),
        (wm.MemoryConfig(mode="sliding", recent_frames=3), "does not fit"),
    ],
)
def test_a_memory_of_another_configuration_is_refused(other, says, tmp_path):
    memory = wm.WorldMemory.create(CONFIGS["device"], SPEC, chunks=LENGTH)
    save_pytree(tmp_path / "memory", memory)
    with pytest.raises(ValueError, match=says):
        load_pytree(tmp_path / "memory", wm.WorldMemory.create(other, SPEC, chunks=LENGTH))


def test_saved_memories_of_a_layout_have_the_same_arrays_however_full():
    for config in CONFIGS.values():
        fresh = wm.WorldMemory.create(config, SPEC, chunks=LENGTH)
        _, world = run(config, 4 if config.mode == "full" else LENGTH)
        for ours, theirs in zip(*map(jax.tree.leaves, (fresh.to_saved(), world.memory.to_saved())), strict=True):
            assert jnp.shape(ours) == jnp.shape(theirs) and ours.dtype == theirs.dtype
