"""A moving sink is the sink that the model would have made right before the rest of what it attends to."""

import dataclasses

import jax
import numpy as np
import pytest

from tests.memory.test_rebasing import content, encode
from tests.memory.walks import FRAMES, SPEC, poses, recall, remember, worldkv
from worldkv_jax import memory as wm

SINK_RECENT = wm.MemoryConfig(mode="sink_recent", recent_frames=3)
WORLDKV = worldkv(chunks=2, positions="rebased")


def contexts(config: wm.MemoryConfig, length: int):
    """Yield each chunk's keys and values with the sink first, as recalled while walking."""
    memory = wm.WorldMemory.create(config, SPEC, chunks=length)
    cameras = poses(length)
    for chunk in range(length):
        view = jax.device_put(cameras[chunk])
        context, _ = recall(memory, view)
        yield chunk, context
        keys = encode(content(chunk), chunk * FRAMES)
        memory = remember(memory, wm.KVSpan(keys, content(100 + chunk)), view)


@pytest.mark.parametrize(("config", "past"), [(SINK_RECENT, 6), (WORLDKV, 12)], ids=["sink_recent", "worldkv"])
def test_the_sink_is_never_farther_back_than_its_past_is_long(config, past):
    moved = contexts(dataclasses.replace(config, sink="moving"), 8)
    for (chunk, got), (_, anchored) in zip(moved, contexts(config, 8)):
        if not chunk:
            continue
        stands = max(0, chunk * FRAMES - past)  # the frame at which the sink seems to begin
        sink = SPEC.chunk_tokens
        np.testing.assert_allclose(got.span.keys[:, :, :sink], encode(content(0), stands), atol=1e-5)
        np.testing.assert_array_equal(got.span.keys[:, :, sink:], anchored.span.keys[:, :, sink:])
        np.testing.assert_array_equal(got.span.values, anchored.span.values)
        assert int(got.length) == int(anchored.length)


def test_a_sink_of_two_chunks_keeps_its_order():
    config = wm.MemoryConfig(mode="sink_recent", sink="moving", sink_frames=6, recent_frames=3)
    *_, (chunk, got) = contexts(config, 7)
    first = chunk * FRAMES - 9
    for number in range(2):
        part = slice(number * SPEC.chunk_tokens, (number + 1) * SPEC.chunk_tokens)
        want = encode(content(number), first + number * FRAMES)
        np.testing.assert_allclose(got.span.keys[:, :, part], want, atol=1e-5)


def test_a_moving_sink_needs_a_sink_and_the_rope_of_its_keys():
    with pytest.raises(ValueError, match="must have its rope"):
        config = dataclasses.replace(SINK_RECENT, sink="moving")
        wm.WorldMemory.create(config, dataclasses.replace(SPEC, rope=None), chunks=5)
    with pytest.raises(ValueError, match="sink_frames=0"):
        wm.MemoryConfig(mode="sliding", sink="moving")
    with pytest.raises(ValueError, match="did you mean 'moving'"):
        wm.MemoryConfig(sink="movin")
