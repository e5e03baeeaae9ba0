"""Worlds on a mesh: every part lies where its heads and worlds do, and the rollout is the same."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from tests.memory.walks import worldkv
from tests.rollout.tiny_backbone import TinyBackbone
from tests.rollout.worlds import latents, noise, views
from worldkv_jax import memory as wm
from worldkv_jax import rollout as ro

BACKBONE = TinyBackbone(heads=4)
PARAMS = BACKBONE.init_params()
PRUNED = wm.CompressionConfig(keep_ratio=0.5)


def make_mesh(**sizes):
    return jax.make_mesh(tuple(sizes.values()), tuple(sizes), axis_types=(AxisType.Auto,) * len(sizes))


def place(config, mesh, *, backbone=BACKBONE, worlds=2):
    params = jax.device_put(PARAMS, jax.sharding.NamedSharding(mesh, P()))
    return params, ro.start_on_mesh(backbone, params, config, mesh, chunks=9, worlds=worlds)


def specs(tree) -> list[P]:
    return [leaf.sharding.spec for leaf in jax.tree.leaves(tree)]


@pytest.mark.parametrize("storage", ["model", "int8"])
def test_every_part_is_split_by_heads_and_worlds(storage):
    _, world = place(worldkv(compression=PRUNED, storage=storage), make_mesh(data=2, model=4))
    assert set(specs(world.memory.window)) == {P(None, "data", None, "model")}
    assert set(specs(world.memory.bank.slots)) == {P(None, None, "data", None, "model")}
    assert specs(world.memory.bank.index) == [P(None, "data"), P()]
    assert specs(world.carry) == [P("data")] and specs((world.position, world.memory.chunk)) == [P(), P()]


def test_an_axis_that_the_mesh_lacks_splits_nothing():
    _, world = place(worldkv(), make_mesh(model=4))
    assert set(specs(world.memory.window)) == {P(None, None, None, "model")} and specs(world.carry) == [P()]
    _, world = place(worldkv(), make_mesh(data=2, batch=4))
    assert set(specs(world.memory.window)) == {P(None, "data")}


def test_the_carry_is_split_where_it_counts_worlds():
    @dataclasses.dataclass(frozen=True)
    class Windowed(TinyBackbone):
        def init_carry(self, params, worlds):
            return {"window": jnp.zeros((2, worlds, 5)), "frames": jnp.zeros((2,)), "none": None}

    _, world = place(worldkv(), make_mesh(data=2, model=4), backbone=Windowed(heads=4))
    assert {name: leaf.sharding.spec for name, leaf in world.carry.items() if leaf is not None} == {
        "window": P(None, "data"),
        "frames": P(),
    }


@pytest.mark.parametrize("tier", ["device", "pinned_host", "host"])
def test_streaming_on_a_mesh_makes_the_same_worlds(tier):
    config = worldkv(compression=PRUNED, tier=tier)
    alone = ro.start(BACKBONE, PARAMS, config, chunks=9, worlds=2)
    params, world = place(config, make_mesh(data=2, model=4))
    options = {"noise": lambda index: noise(index, 2)}
    want, _ = ro.rollout(BACKBONE, PARAMS, alone, views(9, worlds=2), **options)
    got, world = ro.rollout(BACKBONE, params, world, views(9, worlds=2), **options)
    np.testing.assert_allclose(latents(got), latents(want), atol=2e-5)
    for ours, theirs in zip(got, want):
        np.testing.assert_array_equal(ours.retrieved, theirs.retrieved)
        np.testing.assert_allclose(ours.frames, theirs.frames, atol=2e-5)
    assert got[-1].retrieved.shape == (2, 2)
    ring = world.memory.window.ring.keys
    assert ring.sharding.shard_shape(ring.shape)[1::2] == (1, 1), "one world and one head on each device"


def test_what_does_not_split_is_refused_before_anything_is_made():
    backbone, mesh = TinyBackbone(heads=2), make_mesh(data=2, model=4)
    with pytest.raises(ValueError, match="2 heads do not split evenly over the 4 devices of axis 'model'"):
        place(worldkv(), mesh, backbone=backbone)
    with pytest.raises(ValueError, match="1 worlds do not split evenly over the 2 devices of axis 'data'"):
        place(worldkv(), mesh, worlds=1)
    with pytest.raises(ValueError, match="expected 'model'"):
        place(worldkv(), make_mesh(x=8))
    with pytest.raises(ValueError, match="Auto"):
        place(worldkv(), jax.make_mesh((8,), ("model",), axis_types=(AxisType.Explicit,)))


def test_shardings_of_shapes_alone():
    world = jax.eval_shape(lambda: ro.start(BACKBONE, PARAMS, worldkv(), chunks=9, worlds=2))
    shardings = ro.world_shardings(BACKBONE, PARAMS, world, make_mesh(data=2, model=4))
    assert shardings.memory.window.ring.keys.spec == P(None, "data", None, "model")
