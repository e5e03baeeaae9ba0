"""The window against a list of frames, for any sink, ring and chunk."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldkv_jax.memory import KVSpan, KVSpec, MemoryConfig
from worldkv_jax.memory.layout import Layout, WindowLayout
from worldkv_jax.memory.window import empty_window, latest, push, valid_tokens

SIZE = 2  # tokens a frame


def make_layout(sink: int, recent: int, frames: int) -> WindowLayout:
    spec = KVSpec(layers=1, heads=1, head_dim=2, tokens_per_frame=SIZE, chunk_frames=frames)
    return Layout(config=MemoryConfig(mode="sink_recent", sink_frames=sink, recent_frames=recent), spec=spec).window


def own_span(chunk: int, layout: WindowLayout) -> KVSpan:
    """Keys are the numbers of their tokens, values their negatives."""
    tokens = layout.spec.chunk_tokens
    numbers = 1.0 + chunk * tokens + jnp.arange(tokens, dtype=jnp.float32)
    keys = jnp.broadcast_to(numbers[:, None, None], layout.spec.shape(1, tokens))
    return KVSpan(keys, -keys)


def numbers(frames) -> list[float]:
    return [1.0 + frame * SIZE + token for frame in frames for token in range(SIZE)]


def check(sink: int, recent: int, frames: int, chunks: int) -> None:
    layout = make_layout(sink, recent, frames)
    window = empty_window(layout)
    step = jax.jit(functools.partial(push, layout=layout))
    for chunk in range(chunks):
        window = step(window, own_span(chunk, layout), jnp.int32(chunk * frames))
        seen = list(range((chunk + 1) * frames))
        first, rest = seen[:sink], seen[sink:]
        last = rest[max(0, len(rest) - recent) :]
        valid = [int(n) for n in valid_tokens(jnp.int32(len(seen)), layout)]
        for part, want, count in zip(window, (first, last), valid):
            keys = np.asarray(part.keys)[0, 0, :, 0, 0]
            assert sorted(keys[:count].tolist()) == numbers(want), (sink, recent, frames, chunk)
            np.testing.assert_array_equal(part.values, -part.keys)
            assert not keys[count:].any(), "rows beyond the valid ones were written"


@pytest.mark.parametrize("frames", [1, 3])
def test_window_holds_the_first_and_the_last_frames(frames):
    for sink, recent in itertools.product((0, 1, 3), (0, 2, 3, 5)):
        check(sink, recent, frames, chunks=5)


@settings(max_examples=6)
@given(sink=st.integers(0, 7), recent=st.integers(0, 9), frames=st.integers(1, 4), chunks=st.integers(1, 7))
def test_window_holds_the_first_and_the_last_frames_whatever_their_numbers(sink, recent, frames, chunks):
    check(sink, recent, frames, chunks)


@pytest.mark.parametrize(("sink", "recent"), [(3, 9), (4, 7), (0, 6)])
def test_latest_takes_the_newest_frames_of_the_ring(sink, recent):
    layout = make_layout(sink, recent, 3)
    window = empty_window(layout)
    for chunk in range(6):
        window = push(window, own_span(chunk, layout), jnp.int32(chunk * 3), layout)
    for count in range(layout.step_frames, recent + 1, layout.step_frames):
        got = np.asarray(latest(window.ring, jnp.int32(18), count, layout).keys)[0, 0, :, 0, 0]
        assert sorted(got.tolist()) == numbers(range(18 - count, 18))


def test_a_frame_keeps_its_place_however_long_the_rollout():
    """Frame numbers near the end of int32 token positions still land in the ring."""
    layout = make_layout(3, 6, 3)
    seen = 3 * 100_000_000
    window = push(empty_window(layout), own_span(0, layout), jnp.int32(seen), layout)
    assert (np.asarray(window.ring.keys)[0, 0, :, 0, 0] > 0).sum() == 3 * SIZE
    assert not np.asarray(window.sink.keys).any()
