"""A memory fitted to a rollout retrieves as many chunks as its bank can ever hold: not one more, not one less."""

import dataclasses
import itertools

import pytest

from tests.memory.walks import SPEC, picked, walk, worldkv
from worldkv_jax import memory as wm
from worldkv_jax.memory.layout import Layout

SIZES = list(itertools.product((0, 3, 6), (0, 3, 6), (None, 1, 3, 5), ("error", "drop_oldest", "drop_most_redundant")))


def retrieving(config: wm.MemoryConfig, chunks: int) -> wm.MemoryConfig:
    return dataclasses.replace(config, retrieval=dataclasses.replace(config.retrieval, chunks=chunks))


def is_refused(config: wm.MemoryConfig, chunks: int) -> bool:
    try:
        Layout(config=config, spec=SPEC, chunks=chunks)
    except ValueError as error:
        assert "retrieval.chunks" in str(error)
        return True
    return False


@pytest.mark.parametrize("released", [False, True])
@pytest.mark.parametrize("chunks", [1, 2, 3, 4, 5, 9])
def test_the_fitted_number_is_the_largest_that_is_not_refused(chunks, released):
    for sink, recent, capacity, when_full in SIZES:
        config = worldkv(
            chunks=6,
            sink_frames=sink,
            recent_frames=recent,
            capacity=capacity,
            when_full=when_full,
            released_window=released,
        )
        fitted = config.fitted(chunks)
        assert retrieving(fitted, 6) == config, "nothing else changes"
        # What a released window holds depends on the number itself: there the fitted one may be one too careful.
        if fitted.retrieval.chunks < 6 and not (released and when_full == "drop_oldest"):
            assert is_refused(retrieving(config, fitted.retrieval.chunks + 1), chunks)
        # Not even one chunk is ever offered: that is for the memory to refuse, in words.
        hopeless = when_full == "drop_oldest" and is_refused(retrieving(config, 1), chunks)
        assert is_refused(fitted, chunks) == hopeless


def test_frames_of_a_chunk_are_the_models():
    assert wm.DEFAULT.fitted(3).retrieval.chunks == 2
    per_frame = dataclasses.replace(wm.DEFAULT, sink_frames=1, recent_frames=1)
    assert per_frame.fitted(3, chunk_frames=1).retrieval.chunks == 2


@pytest.mark.parametrize("chunks", [4, 5, 8])
def test_a_fitted_memory_recalls_all_that_is_there(chunks):
    *_, last = walk(worldkv(chunks=9).fitted(chunks), chunks)
    assert sorted(picked(last.picks)) == list(range(1, chunks - 2)), "all but the sink, the recent one and its own"


def test_other_modes_are_as_they_were():
    for config in (wm.MemoryConfig(mode="full"), wm.MemoryConfig(mode="sink_recent"), wm.DEFAULT):
        assert config.fitted(50) == config
