"""Retrieval that weighs the source's time and what it showed."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from ports.inspatio_world.memory import BEFORE_SOURCE, NATIVE, as_asked, default_memory, weigh_source
from ports.inspatio_world.source_rule import SourceAware
from ports.wan.latents import CHUNK_FRAMES
from tests.inspatio_world.worlds import run
from worldkv_jax.memory import DEFAULT, OFFICIAL, MemoryConfig, ViewCoverage
from worldkv_jax.sessions import MemoryOptions

CHUNKS = 8
TIMES = tuple(range(CHUNKS))


def picks(rule, position=6, k=2):
    """Choose for chunk ``position`` among all before its predecessor, whose cameras are all the same."""
    cameras = jnp.broadcast_to(jnp.eye(4), (3, 4, 4))
    description = rule.describe(cameras, jnp.zeros((1, 1, 1, 6)))
    index = jnp.tile(description, (CHUNKS, 1))
    chunks = jnp.where(jnp.arange(CHUNKS) < position - 1, jnp.arange(CHUNKS), -1)
    asked = rule.describe_query(cameras, None)
    slots, scores = rule.choose(asked, index, chunks, chunks >= 0, k)
    return chunks[slots].tolist(), scores


def rule(**options):
    return SourceAware(**{"times": TIMES, "known": (0.5,) * CHUNKS, **options})


def test_without_weights_cameras_decide():
    assert picks(rule())[0] == [0, 1]


def test_time_brings_the_nearest_moments():
    chosen, scores = picks(rule(time_weight=1.0))
    assert chosen == [4, 3]
    np.testing.assert_allclose(scores, [2 / 7, 3 / 7], atol=1e-6)
    there_and_back = (0, 1, 2, 3, 2, 1, 0, 1)
    assert picks(rule(time_weight=1.0, times=there_and_back))[0] == [0, 1]  # chunk 6 shows moment 0 again
    assert picks(rule(time_weight=1.0, times=(5,) * CHUNKS))[0] == [0, 1]  # nothing moves


def test_what_the_source_showed_is_not_retrieved():
    known = (1.0, 0.9, 0.2, 0.9, 0.1, 1, 1, 1)
    assert picks(rule(known_weight=0.5, known=known))[0] == [4, 2]


def test_rules_that_cannot_be_weighed():
    with pytest.raises(ValueError, match="chooses chunks by more than a score"):
        rule(views=ViewCoverage())
    with pytest.raises(ValueError, match="must not be negative"):
        rule(time_weight=-1)
    with pytest.raises(ValueError, match="known shares of 1"):
        rule(known=(1.0,))


@pytest.mark.long
def test_weights_work_in_a_rollout():
    weights = {"times": TIMES, "known": (0.5,) * CHUNKS, "time_weight": 100.0, "known_weight": 0.0}
    memory = default_memory(CHUNKS)
    memory = dataclasses.replace(memory, retrieval=dataclasses.replace(memory.retrieval, chunks=1))
    made, _ = run(weigh_source(memory, **weights), CHUNKS)
    assert [chunk.retrieved[0].tolist() for chunk in made[2:]] == [[i - 2] for i in range(2, CHUNKS)]


def test_weights_need_a_bank_that_keeps_the_latest():
    weights = {"times": TIMES, "known": TIMES, "known_weight": 0.0}
    memory = default_memory(CHUNKS)
    assert weigh_source(memory, time_weight=0.0, **weights) is memory
    forgetful = dataclasses.replace(memory, bank=dataclasses.replace(memory.bank, when_full="drop_most_redundant"))
    for wrong in (NATIVE, forgetful, dataclasses.replace(memory, recent_frames=3)):
        with pytest.raises(ValueError, match="`memory` worldkv with `recent` 0"):
            weigh_source(wrong, time_weight=1.0, **weights)


def test_a_memory_that_was_asked_for():
    memory, position = as_asked(DEFAULT, chunks=CHUNKS)
    assert (memory.sink_frames, memory.recent_frames, position) == (0, 0, CHUNK_FRAMES)
    assert as_asked(None, chunks=CHUNKS)[0] == default_memory(CHUNKS)
    memory, _ = as_asked(MemoryOptions(sink=3, recent=6), chunks=CHUNKS)
    assert (memory.sink_frames, memory.recent_frames) == (3, 6)
    assert as_asked(MemoryConfig(mode="sliding"), chunks=CHUNKS)[0] == NATIVE
    assert as_asked(MemoryOptions(memory="sliding"), chunks=CHUNKS)[0] == NATIVE
    memory, position = as_asked(MemoryOptions(positions="rebased"), chunks=CHUNKS)
    assert (memory.retrieval.positions, position) == ("as_stored", BEFORE_SOURCE)
    for official in (OFFICIAL, MemoryOptions(profile="official")):
        with pytest.raises(ValueError, match="official profile"):
            as_asked(official, chunks=CHUNKS)
