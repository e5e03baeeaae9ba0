"""Heads split over eight devices: the same tokens and chunks, and no device ever sees another's keys."""

import dataclasses
import re

import jax
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from tests.memory.walks import SPEC, picked, poses, recall, remember, span, tokens_in, worldkv
from worldkv_jax import memory as wm

WIDE = dataclasses.replace(SPEC, heads=8)
LENGTH = 7
PRUNED = {"compression": wm.CompressionConfig(keep_ratio=0.5), "capacity": LENGTH}


@pytest.fixture(scope="module")
def mesh():
    return jax.make_mesh((8,), ("heads",), axis_types=(AxisType.Auto,))


def split(tree, mesh):
    """Split keys and values (whose last but one axis is heads) over the mesh, and copy the rest."""

    def place(leaf):
        spec = P(*[None] * (leaf.ndim - 2), "heads", None) if leaf.ndim >= 5 else P()
        return jax.device_put(leaf, NamedSharding(mesh, spec))

    return jax.tree.map(place, tree)


def walk_both(config, mesh, inside=True):
    """The same walk on one device and on eight; yields contexts, picks and memories of both."""
    alone = wm.WorldMemory.create(config, WIDE)
    spread = split(wm.WorldMemory.create(config, WIDE), mesh)
    look, take = (recall, remember) if inside else (wm.recall, wm.remember)
    for chunk, view in enumerate(jax.device_put(poses(LENGTH))):
        own = span(chunk, 1, WIDE)
        yield look(alone, view), look(spread, view), spread
        if chunk + 1 < LENGTH:  # the last context is looked at when the walk is over, and lies in the window
            alone, spread = take(alone, own, view), take(spread, split(own, mesh), view)


@pytest.mark.parametrize(("similarity", "storage"), [("per_key", "model"), ("centroid", "model"), ("per_key", "int8")])
def test_split_heads_pick_the_same_tokens_and_chunks(mesh, similarity, storage):
    compression = wm.CompressionConfig(keep_ratio=0.5, similarity=similarity)
    config = worldkv(**{**PRUNED, "compression": compression, "storage": storage})
    for step in walk_both(config, mesh):
        (context, picks), (spread, spread_picks), memory = step
        assert picked(picks) == picked(spread_picks)
        np.testing.assert_array_equal(spread.span.values, context.span.values)
        np.testing.assert_array_equal(spread.span.keys, context.span.keys)
    assert len(picked(picks)) == 2 and tokens_in(spread) == tokens_in(context)
    for keys in jax.tree.leaves((memory.window, memory.bank.slots, spread.span)):
        assert keys.sharding.shard_shape(keys.shape)[-2] == 1, "every device holds one head"
    chosen = [np.asarray(shard.data) for shard in spread_picks.chunks.addressable_shards]
    assert all((one == chosen[0]).all() for one in chosen)


def test_no_keys_or_values_travel_between_devices(mesh):
    config = worldkv(**PRUNED, rule="camera")
    memory = split(wm.WorldMemory.create(config, WIDE), mesh)
    view, own = jax.device_put(poses(1)[0]), split(span(0, 1, WIDE), mesh)
    for program in (recall.lower(memory, view), remember.lower(memory, own, view)):
        text = program.compile().as_text()
        assert "all-to-all" not in text and "collective-permute" not in text
        for shape in re.findall(r"= \w+\[([\d,]*)\]\S* all-gather", text):
            assert np.prod([int(n) for n in shape.split(",") if n]) < 200, "keys or values were gathered"


@pytest.mark.parametrize(("tier", "storage"), [("pinned_host", "model"), ("host", "model"), ("pinned_host", "int8")])
def test_host_tiers_bring_split_heads_back_split(mesh, tier, storage):
    config = worldkv(**PRUNED, tier=tier, storage=storage)
    for step in walk_both(config, mesh, inside=False):
        (context, picks), (spread, spread_picks), memory = step
        assert picked(picks) == picked(spread_picks)
        np.testing.assert_array_equal(spread.span.keys, context.span.keys)
    slot = jax.tree.leaves(memory.bank.slots[0])[0]
    if tier == "pinned_host":
        assert slot.sharding.memory_kind == "pinned_host"
        assert slot.sharding.shard_shape(slot.shape)[-2] == 1
    assert spread.span.keys.sharding.shard_shape(spread.span.keys.shape)[-2] == 1
