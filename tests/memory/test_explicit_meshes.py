"""Worlds and heads split over a mesh of Explicit axes, as `jax.make_mesh` makes them, and of Auto ones."""

import jax
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from tests.memory.walks import SPEC, poses, span, worldkv
from tests.memory.walks import recall as one_recall
from tests.memory.walks import remember as one_remember
from worldkv_jax import memory as wm

pytestmark = pytest.mark.skipif(not hasattr(jax, "set_mesh"), reason="the oldest jax sets no mesh and has no auto_axes")

WORLDS, CHUNKS = 4, 6
CONFIGS = {
    "full": wm.MemoryConfig(mode="full"),
    "sliding": wm.MemoryConfig(mode="sliding"),
    "sink_recent": wm.MemoryConfig(mode="sink_recent"),
    "default": wm.DEFAULT.fitted(CHUNKS),
    "paper": wm.PAPER.fitted(CHUNKS),
    "official": wm.OFFICIAL.fitted(CHUNKS),
    "float8": worldkv(storage="float8", rule="overlap"),
    "redundant": worldkv(capacity=3, when_full="drop_most_redundant"),
}


@pytest.mark.parametrize(
    ("kind", "name"), [*((AxisType.Explicit, name) for name in CONFIGS), (AxisType.Auto, "default")]
)
def test_worlds_and_heads_are_split(kind, name):
    mesh = jax.make_mesh((4, 2), ("data", "model"), axis_types=(kind,) * 2)
    alone, expected = wm.WorldMemory.create(CONFIGS[name], SPEC, worlds=WORLDS, chunks=CHUNKS), []
    views, owns = poses(CHUNKS, worlds=WORLDS), [span(chunk, WORLDS) for chunk in range(CHUNKS)]
    for view, own in zip(views, owns):
        expected.append(one_recall(alone, view))
        alone = one_remember(alone, own, view)
    alone = wm.WorldMemory.create(CONFIGS[name], SPEC, worlds=WORLDS, chunks=CHUNKS)
    placed = wm.shardings(alone, mesh, worlds="data", heads="model")
    spread = jax.device_put(alone, placed)
    recall = jax.jit(lambda *given: wm.recall(*given))  # functions of their own, which count what they compile
    remember = jax.jit(lambda *given: wm.remember(*given), donate_argnums=0)
    keys = NamedSharding(mesh, P(None, "data", None, "model"))
    with jax.set_mesh(mesh):
        for view, own, before in zip(views, owns, expected):
            view = jax.device_put(view, NamedSharding(mesh, P("data")))
            far, picks = recall(spread, view)
            for one, other in zip(jax.tree.leaves(before), jax.tree.leaves((far, picks))):
                np.testing.assert_allclose(np.asarray(other), np.asarray(one), atol=1e-5)
            spread = remember(spread, jax.device_put(own, keys), view)
    assert far.span.keys.sharding.shard_shape(far.span.keys.shape)[1::2] == (1, 1)
    for leaf, before in zip(jax.tree.leaves(spread), jax.tree.leaves(placed)):
        assert leaf.sharding.is_equivalent_to(before, leaf.ndim)
    assert recall._cache_size() == remember._cache_size() == 1


def test_arrays_of_no_mesh_join_an_explicit_one_and_host_tiers_say_what_they_need():
    mesh = jax.make_mesh((4,), ("data",))
    view = jax.device_put(poses(1, worlds=WORLDS)[0], NamedSharding(mesh, P("data")))
    own = jax.tree.map(np.asarray, span(0, WORLDS))
    with jax.set_mesh(mesh):
        memory = wm.WorldMemory.create(CONFIGS["paper"], SPEC, worlds=WORLDS, chunks=CHUNKS)
        memory = jax.jit(wm.remember)(memory, own, view)
        context, _ = jax.jit(wm.recall)(memory, view)
        assert int(context.length) == SPEC.chunk_tokens
        host = wm.WorldMemory.create(worldkv(tier="host"), SPEC, worlds=WORLDS, chunks=CHUNKS)
        with pytest.raises(ValueError, match="Auto axes"):
            wm.recall(host, view)


def test_a_jax_that_is_too_old_for_explicit_axes_is_named(monkeypatch):
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Explicit,))
    memory = wm.WorldMemory.create(CONFIGS["paper"], SPEC, worlds=WORLDS, chunks=CHUNKS)
    view = jax.device_put(poses(1, worlds=WORLDS)[0], NamedSharding(mesh, P("data")))
    monkeypatch.delattr(jax.sharding, "auto_axes")
    with pytest.raises(ValueError, match=r"has no jax.sharding.auto_axes.*Auto"):
        wm.recall(memory, view)


def test_a_split_that_cannot_be_says_why():
    mesh = jax.make_mesh((8,), ("data",))
    memory = wm.WorldMemory.create(wm.PAPER, SPEC, worlds=WORLDS, chunks=20)
    with pytest.raises(ValueError, match="4 worlds do not split evenly over the 8 devices"):
        wm.shardings(memory, mesh, worlds="data")
    with pytest.raises(ValueError, match="none is called 'model'"):
        wm.shardings(memory, mesh, heads="model")
