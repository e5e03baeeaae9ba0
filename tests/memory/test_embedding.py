"""The memory in a model that knows nothing of it: grouped queries, half precision, resets, one scan, export."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from tests.memory.walks import SPEC, picked, poses, recall, remember, span, still, tokens_in, tokens_of, walk, worldkv
from worldkv_jax import memory as wm
from worldkv_jax.benchmarks.embedding import FrameModel, stacked, with_memory, with_rolling_cache

WORLDS, STEPS, WINDOW = 8, 64, 4
MODEL = FrameModel(layers=2, queries=4, heads=2, head_dim=8, tokens=4)
SLIDING = wm.MemoryConfig(mode="sliding", recent_frames=WINDOW)


def frames_and_resets(model=MODEL):
    x = jax.random.normal(jax.random.key(1), (STEPS, WORLDS, 1, model.tokens, model.width)).astype(model.dtype)
    done = np.zeros((STEPS, WORLDS), bool)
    done[20, 2] = done[33, 2] = done[40, 5] = True
    return x, jax.device_put(done)


@pytest.mark.parametrize(("dtype", "rounding"), [("bfloat16", 0.05), ("float32", 1e-5)])
def test_sliding_equals_a_rolling_cache_written_by_hand(dtype, rounding):
    model = dataclasses.replace(MODEL, dtype=dtype)
    (x, done), params = frames_and_resets(model), model.weights()
    views = jnp.broadcast_to(jnp.eye(4), (STEPS, WORLDS, 1, 1, 4, 4))
    memories = stacked(SLIDING, model, worlds=WORLDS, steps=STEPS)
    memories, (out, _) = with_memory(model, memories, params, x, done, views)
    expected = with_rolling_cache(model, params, x, done, window=WINDOW)
    np.testing.assert_allclose(out.astype(jnp.float32), expected.astype(jnp.float32), atol=rounding)
    assert dtype == "float32" or np.mean(np.asarray(out == expected)) > 0.9
    assert memories.chunk.tolist() == [64, 64, 31, 64, 64, 24, 64, 64]


def test_picks_are_the_nearest_views_of_each_world_since_its_reset():
    (x, done), params = frames_and_resets(), MODEL.weights()
    yaw = np.abs((np.arange(STEPS)[:, None] * (1.3 + 0.37 * np.arange(WORLDS)) + 160) % 320 - 160)
    cameras = np.stack([still(angle)[:, :1] for angle in yaw.ravel()]).reshape(STEPS, WORLDS, 1, 1, 4, 4)
    rule = wm.CameraDistance(rotation_weight=1.0)
    config = worldkv(rule=rule, chunks=3, sink_frames=1, recent_frames=2)
    memories = stacked(config, MODEL, worlds=WORLDS, steps=STEPS)
    _, (_, picks) = with_memory(MODEL, memories, params, x, done, jnp.asarray(cameras, jnp.float32))
    chunks, counts = np.asarray(picks.chunks)[:, :, 0], np.asarray(picks.count)
    for world in range(WORLDS):
        start = 0
        for step in range(STEPS):
            start = step if done[step, world] else start
            candidates = np.arange(start + 1, max(start + 1, step - 2))
            gaps = np.abs(yaw[candidates, world] - yaw[step, world])
            assert counts[step, world] == min(3, len(candidates))
            chosen = chunks[step, world, : counts[step, world]] + start
            farthest = np.sort(gaps)[: len(chosen)]
            np.testing.assert_allclose(np.abs(yaw[chosen, world] - yaw[step, world]), farthest, atol=1e-3)


def test_own_picks_replace_the_rule():
    *_, step = walk(worldkv(chunks=3), 8, length=9)
    view = still(0)
    context, picks = recall(step.memory, view, picks=jnp.asarray([[-1, 5, 2]], jnp.int32))
    assert picked(picks) == [5, 2] and tokens_in(context) == tokens_of([0, 1, 2, 21, 22, 23, 15, 16, 17, 6, 7, 8])
    again, _ = recall(step.memory, view, picks=picks)
    np.testing.assert_array_equal(again.span.values, context.span.values)
    _, picks = recall(step.memory, view, picks=jnp.asarray([[0, 7, 99]], jnp.int32))  # in the sink, window, nowhere
    assert picked(picks) == []
    with pytest.raises(ValueError, match=r"expected chunk ids int32\[1, 3\]"):
        wm.recall(step.memory, view, picks=jnp.zeros((1, 2), jnp.int32))


def test_a_reset_needs_a_flag_for_each_memory():
    memory = wm.WorldMemory.create(SLIDING, MODEL.spec, worlds=2)
    with pytest.raises(ValueError, match=r"jax\.vmap"):
        wm.reset(memory, jnp.zeros(2, bool))


def test_programs_of_a_memory_are_exported():
    pytest.importorskip("flatbuffers", reason="jax.export writes with it")
    memory = wm.WorldMemory.create(worldkv(storage="int8"), SPEC, chunks=8)
    view = jax.device_put(poses(1)[0])
    program = export.deserialize(bytearray(export.export(jax.jit(wm.remember))(memory, span(0), view).serialize()))
    expected = remember(wm.WorldMemory.create(worldkv(storage="int8"), SPEC, chunks=8), span(0), view)
    given = program.call(memory, span(0), view)
    assert given.layout == expected.layout
    for one, other in zip(jax.tree.leaves(given), jax.tree.leaves(expected)):
        np.testing.assert_array_equal(one, other)


def test_a_context_is_short_to_print_and_scopes_name_both_verbs():
    *_, step = walk(worldkv(), 2, length=9)
    view = jax.device_put(poses(1)[0])
    assert repr(recall(step.memory, view)[0]) == "Context(24 rows valid of keys and values float32[2, 1, 48, 2, 8])"
    for verb, given in ((wm.recall, (view,)), (wm.remember, (span(0), view))):
        assert f"/{verb.__name__}/" in jax.jit(verb).lower(step.memory, *given).as_text(debug_info=True)
