"""What once went wrong without a word: full banks, gradients, odd chunks, split heads, lost tiers."""

import copy
import dataclasses
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from tests.memory.walks import SPEC, poses, remember, span, still, walk, worldkv
from worldkv_jax import memory as wm
from worldkv_jax.cameras import nearest_rotation
from worldkv_jax.memory.report import capacity_by_tier


@pytest.mark.parametrize(
    ("config", "chunks"), [(worldkv(capacity=4), None), (wm.MemoryConfig(mode="full"), 5)], ids=["worldkv", "full"]
)
def test_a_full_memory_raises_outside_jit_and_counts_inside(config, chunks):
    memory = wm.WorldMemory.create(config, SPEC, chunks=chunks)
    traced = wm.WorldMemory.create(config, SPEC, chunks=chunks)
    for chunk in range(5):
        assert int(traced.lost) == 0
        memory = wm.remember(memory, span(chunk), still(chunk))
        traced = remember(traced, span(chunk), still(chunk))
    with pytest.raises(ValueError, match=r"full.*chunk 5 needs a place"):
        wm.remember(memory, span(5), still(5))
    for chunk in range(5, 7):
        traced = remember(traced, span(chunk), still(chunk))
    assert int(jax.jit(lambda memory: memory.lost)(traced)) == 2
    stacked = jax.tree.map(lambda a, b: jnp.stack([a, b]), memory, traced)
    assert stacked.lost.tolist() == [0, 2]


def test_a_full_memory_raises_also_while_its_counter_is_computed():
    *_, last = walk(worldkv(capacity=4), 5)
    late = jax.jit(lambda chunk, x: chunk + jnp.int32((x @ x @ x @ x @ x @ x < 0).any()))
    counted = late(last.memory.chunk, jnp.ones((1500, 1500)))  # computed for half a second after this line
    with pytest.raises(ValueError, match=r"full.*chunk 5 needs a place"):
        wm.remember(last.memory.replace(chunk=counted), span(5), still(5))


def test_a_memory_that_may_drop_loses_nothing():
    *_, step = walk(worldkv(capacity=3, when_full="drop_oldest"), 7)
    assert int(step.memory.lost) == 0


@pytest.mark.parametrize("storage", ["bits", "int8", "float8"])
def test_whole_numbers_refuse_a_gradient(storage):
    def loss(keys, stop, storage=storage):
        memory = wm.WorldMemory.create(worldkv(storage=storage, chunks=1), SPEC, chunks=4)
        for chunk in range(4):
            own = wm.KVSpan(keys if chunk == 1 else 0 * keys, keys)
            memory = wm.remember(memory, jax.lax.stop_gradient(own) if stop else own, still(90 * chunk))
        context, _ = wm.recall(memory, still(90))
        return jnp.square(context.span.keys).sum() / 2

    keys = span(0).keys
    with pytest.raises(ValueError, match="storage='model'"):
        jax.grad(loss)(keys, False)
    with pytest.raises(ValueError, match="storage='model'"):
        jax.jit(jax.grad(loss), static_argnums=1)(keys, False)
    gradient_of = jax.jit(jax.grad(loss), static_argnums=(1, 2))
    assert not np.any(gradient_of(keys, True, storage))
    np.testing.assert_allclose(gradient_of(keys, False, "model"), keys)


def test_queries_of_more_heads_than_keys_have_are_refused():
    memory = wm.WorldMemory.create(worldkv(rule="attention", capacity=4), SPEC)
    with pytest.raises(ValueError, match=r"query has shape \(2, 1, 8, 8\), expected \(2, 1, 2, 8\).*grouped queries"):
        wm.recall(memory, still(0), query=jnp.zeros((2, 1, 8, 8)))


def test_a_dtype_is_the_same_however_it_is_written():
    named, typed = (dataclasses.replace(SPEC, dtype=dtype) for dtype in ("bfloat16", jnp.bfloat16))
    assert named == typed and hash(named) == hash(typed) and typed.dtype == "bfloat16"


@pytest.mark.parametrize("rule", ["camera", "paper", "released"])
@pytest.mark.parametrize("frames", [1, 3])
def test_gradients_of_camera_scores_are_finite(rule, frames):
    """Standing still: all poses of a chunk coincide, some with those of the query, and singular values are equal."""
    spec = dataclasses.replace(SPEC, chunk_frames=frames)
    memory = wm.WorldMemory.create(worldkv(rule=rule, sink_frames=frames, recent_frames=frames), spec, chunks=6)
    for chunk in range(5):
        memory = remember(memory, span(chunk, 1, spec), np.asarray(still(30 * chunk, (chunk, 0, 0)))[:, :frames])

    gradient_of = jax.jit(jax.grad(lambda cameras: wm.recall(memory, cameras)[1].scores.sum()))
    for view in (still(30, (1, 0, 0)), still(40, (1, 0.5, 0))):
        gradient = np.asarray(gradient_of(np.asarray(view)[:, :frames]))
        assert np.isfinite(gradient).all()
    assert gradient.any()


def test_the_gradient_of_the_nearest_rotation_is_that_of_its_differences():
    rng = np.random.default_rng(0)
    for matrix in (np.eye(3), 2 * np.eye(3), rng.normal(size=(3, 3)), np.diag([3.0, 2.0, -1.0])):
        matrix = matrix @ np.linalg.qr(rng.normal(size=(3, 3)))[0]
        direction, step = rng.normal(size=(3, 3)), 1e-5
        ahead, behind = nearest_rotation(matrix + step * direction), nearest_rotation(matrix - step * direction)
        given = [jnp.asarray(x, jnp.float32) for x in (matrix, direction)]
        _, change = jax.jvp(nearest_rotation, given[:1], given[1:])
        np.testing.assert_allclose(change, (ahead - behind) / (2 * step), atol=2e-5)


def test_chunks_of_one_frame_say_that_nothing_is_pruned():
    spec = dataclasses.replace(SPEC, chunk_frames=1)
    with pytest.warns(UserWarning, match="nothing is pruned"):
        memory = wm.WorldMemory.create(wm.PAPER, spec, chunks=20)
    assert "nothing is pruned" in repr(memory)
    assert "nothing is pruned" not in repr(wm.WorldMemory.create(wm.DEFAULT, spec, chunks=20))


@pytest.mark.parametrize("similarity", ["per_key", "centroid"])
def test_heads_split_in_shard_map_keep_the_same_tokens(similarity):
    mesh = jax.make_mesh((4,), ("model",), axis_types=(AxisType.Auto,))
    compression = wm.CompressionConfig(keep_ratio=0.5, similarity=similarity)
    wide = dataclasses.replace(SPEC, heads=4)
    expected = wm.WorldMemory.create(worldkv(compression=compression, capacity=4), wide)
    config = worldkv(compression=dataclasses.replace(compression, axis_name="model"), capacity=4)
    local = wm.WorldMemory.create(config, dataclasses.replace(SPEC, heads=1))
    heads = jax.tree.map(lambda x: P(*[None] * (x.ndim - 2), "model") if x.ndim >= 5 else P(), local)
    own_heads = P(None, None, None, "model")
    take = jax.jit(
        jax.shard_map(wm.remember, mesh=mesh, in_specs=(heads, own_heads, P()), out_specs=heads, check_vma=False)
    )
    split = jax.tree.map(lambda x: jnp.concatenate([x] * 4, axis=-2) if x.ndim >= 5 else x, local)
    for chunk in range(4):
        view, own = jax.device_put(poses(4)[chunk]), span(chunk, 1, wide)
        expected, split = remember(expected, own, view), take(split, own, view)
    np.testing.assert_array_equal(split.bank.slots.values, expected.bank.slots.values)
    np.testing.assert_array_equal(split.bank.slots.keys, expected.bank.slots.keys)


@pytest.mark.parametrize("name", ["model", "int8", "full"])
def test_half_precision_is_written_in_place(name):
    """The window and the bank of a CPU, where XLA copies a whole bfloat16 buffer that is updated in part."""
    spec = dataclasses.replace(SPEC, tokens_per_frame=64, dtype="bfloat16")
    config = wm.MemoryConfig(mode="full") if name == "full" else worldkv(storage=name, capacity=64)
    memory = wm.WorldMemory.create(config, spec, chunks=64)
    own = jax.eval_shape(lambda: spec.zeros(1, spec.chunk_tokens))
    plan = remember.lower(memory, own, still(0)).compile().memory_analysis()
    assert plan.temp_size_in_bytes < 0.2 * sum(capacity_by_tier(memory.layout).values())


@pytest.mark.parametrize("tier", ["pinned_host", "host"])
@pytest.mark.parametrize("duplicate", [lambda memory: pickle.loads(pickle.dumps(memory)), copy.deepcopy])
def test_a_copy_of_a_memory_stays_in_its_tier(tier, duplicate):
    *_, step = walk(worldkv(tier=tier), 4, length=6)
    kept = duplicate(step.memory)
    before, after = (jax.tree.leaves(memory.bank.slots) for memory in (step.memory, kept))
    assert len(before) == len(after) > 0
    for old, new in zip(before, after):
        assert new.sharding.memory_kind == old.sharding.memory_kind and new is not old
        np.testing.assert_array_equal(new, old)
    view = jax.device_put(poses(5)[4])
    for old, new in zip(jax.tree.leaves(wm.recall(step.memory, view)), jax.tree.leaves(wm.recall(kept, view))):
        np.testing.assert_array_equal(new, old)
