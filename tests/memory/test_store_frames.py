"""Models that make one frame at a time: several frames are pruned, stored and found as one chunk."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.memory.walks import (
    EVERYTHING,
    SPEC,
    picked,
    poses,
    recall,
    remember,
    span,
    still,
    tokens_in,
    tokens_of,
    walk,
    worldkv,
)
from worldkv_jax import memory as wm
from worldkv_jax.memory.report import attended_tokens

SINGLE = dataclasses.replace(SPEC, chunk_frames=1)
FOUR = dataclasses.replace(SINGLE, store_frames=4)
FRAMES = 26


def one_at_a_time(config, frames=FRAMES, spec=FOUR):
    """Walk with the cameras of a random path, one frame a chunk."""
    cameras = np.moveaxis(poses(-(-frames // 3))[:, 0].reshape(-1, 1, 1, 4, 4), 0, 0)[:frames]
    return walk(config, frames, spec=spec, cameras=cameras)


def config(**others):
    return worldkv(**{"sink_frames": 4, "recent_frames": 4, "chunks": 5, "tier": "device"} | others)


@pytest.mark.parametrize("tier", ["device", "host"])
def test_with_room_for_everything_nothing_is_missing_and_nothing_twice(tier):
    """Sink, what waits, recent frames and all stored chunks are the whole past at each step."""
    for step in one_at_a_time(config(tier=tier)):
        assert tokens_in(step.context) == tokens_of(range(step.chunk), FOUR)
        frames = np.asarray(step.context.frames)[0, : int(step.context.length)]
        assert sorted(frames.tolist()) == sorted(np.repeat(np.arange(step.chunk), FOUR.tokens_per_frame).tolist())
        assert int(step.context.length) == attended_tokens(step.memory.layout, step.chunk)


def test_chunks_are_pruned_once_and_found_by_all_their_views():
    rule = wm.CameraDistance(rotation_weight=1.0)
    compression = wm.CompressionConfig(keep_ratio=0.25)
    memory = wm.WorldMemory.create(config(rule=rule, chunks=2, compression=compression), FOUR, chunks=24)
    assert memory.layout.bank.stored_tokens == 4 + 3
    yaw = np.repeat([0.0, 40, 80, 120, 160, 200], 4) + np.tile([0.0, 1, 2, 3], 6)
    for frame, angle in enumerate(yaw):
        memory = remember(memory, span(frame, 1, FOUR), still(angle)[:, :1])
    context, picks = recall(memory, still(83)[:, :1])
    assert picked(picks) == [2, 3]
    chunks = np.asarray(context.chunks)[0, : int(context.length)]
    assert [int(np.sum(chunks == chunk)) for chunk in range(6)] == [16, 0, 7, 7, 0, 16]
    anchors = np.asarray(context.frames)[0, : int(context.length)][chunks == 2]
    assert anchors.tolist() == [8] * 4 + [-1] * 3


@pytest.mark.parametrize("when_full", ["drop_oldest", "drop_most_redundant"])
def test_all_tiers_hold_the_same(when_full):
    kept = {}
    for tier in ("device", "pinned_host"):
        given = config(tier=tier, when_full=when_full, capacity=3, chunks=2, positions="rebased", storage="int8")
        kept[tier] = [valid(step) for step in one_at_a_time(given, 30)]
    for one, other in zip(*kept.values()):
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other)):
            np.testing.assert_array_equal(a, b)


def valid(step):
    length = int(step.context.length)
    return (
        jax.tree.map(lambda a: np.asarray(a)[:, :, :length], step.context.span),
        step.context.chunks,
        step.picks.chunks,
    )


def test_a_full_bank_is_counted_in_stored_chunks():
    given, kept = config(capacity=2, chunks=1), wm.WorldMemory.create(config(capacity=2, chunks=1), FOUR)
    for frame in range(15):
        kept = wm.remember(kept, span(frame, 1, FOUR), still(frame)[:, :1])
    with pytest.raises(ValueError, match=r"full.*chunk 3 needs a place; raise bank.capacity to 3"):
        wm.remember(kept, span(15, 1, FOUR), still(15)[:, :1])
    *_, step = walk(given, 24, spec=FOUR, cameras=np.stack([still(0)[:, :1]] * 24), length=12)
    assert int(step.memory.lost) == 3 and "LOST: 3 chunks" in repr(step.memory)


def test_keys_are_rebased_before_the_frames_that_wait():
    """Keys of all ones, rotated by their frame: what is recalled stands in one unbroken run of frames."""
    compression = dataclasses.replace(EVERYTHING)
    memory = wm.WorldMemory.create(config(chunks=1, positions="rebased", compression=compression), FOUR, chunks=24)
    ones = jnp.ones(FOUR.shape(1, FOUR.chunk_tokens))
    for frame in range(22):
        keys = FOUR.rope.shift_time(ones, jnp.int32(frame))
        memory = remember(memory, wm.KVSpan(keys, keys), still(10.0 * frame)[:, :1])
    context, picks = recall(memory, still(85)[:, :1])
    assert picked(picks) == [2]
    rows = np.asarray(context.chunks[0]) == 2
    expected = FOUR.rope.shift_time(jnp.ones(FOUR.shape(1, 16)), jnp.arange(12, 16, dtype=jnp.int32).repeat(4))
    np.testing.assert_allclose(np.asarray(context.span.keys)[:, :, rows], expected, atol=1e-5)


def test_frames_that_cannot_wait_are_refused():
    for wrong, says in (
        ({"spec": dataclasses.replace(SPEC, tokens_per_frame=4, chunk_frames=1, store_frames=8)}, "recent_frames=4"),
        ({"config": config(released_window=True)}, "released_window=True"),
        ({"config": config(sink_frames=3)}, "not a multiple of store_frames=4"),
    ):
        with pytest.raises(ValueError, match=says):
            wm.WorldMemory.create(wrong.get("config", config()), wrong.get("spec", FOUR), chunks=40)
    with pytest.raises(ValueError, match="store_frames=4 is no multiple of chunk_frames=3"):
        dataclasses.replace(SPEC, store_frames=4)


def test_the_bank_is_written_in_place():
    spec = dataclasses.replace(FOUR, tokens_per_frame=64)
    memory = wm.WorldMemory.create(config(capacity=64), spec)
    own = jax.eval_shape(lambda: spec.zeros(1, spec.chunk_tokens))
    plan = remember.lower(memory, own, still(0)[:, :1]).compile().memory_analysis()
    assert plan.temp_size_in_bytes < 0.1 * memory.layout.bank.capacity * memory.layout.bank.chunk_bytes
