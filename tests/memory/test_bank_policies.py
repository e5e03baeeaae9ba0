"""A full bank refuses, drops the oldest or drops the most redundant chunk, and says so."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.memory.walks import SPEC, poses, remember, span, still, walk, worldkv
from worldkv_jax import memory as wm
from worldkv_jax.memory.index import most_redundant
from worldkv_jax.memory.room import lost_chunks


def held(memory: wm.WorldMemory) -> list[int]:
    """Ids of the stored chunks, each checked to be in the slot that the index says."""
    chunks = np.asarray(memory.bank.index.chunks)
    for slot, chunk in enumerate(chunks):
        if chunk >= 0:
            values = np.asarray(memory.bank.slots.values)[slot, 0, 0, :, 0, 0]
            assert (values // SPEC.chunk_tokens == chunk).all()
    return sorted(chunks[chunks >= 0].tolist())


def fill(config: wm.MemoryConfig, cameras) -> wm.WorldMemory:
    memory = wm.WorldMemory.create(config, SPEC)
    for chunk, view in enumerate(cameras):
        memory = remember(memory, span(chunk), view)
    return memory


def test_error_raises_before_the_chunk_and_says_what_to_change():
    layout = wm.WorldMemory.create(worldkv(capacity=3), SPEC).layout
    for chunk in range(4):  # chunk 0 lies in the sink and needs no place
        wm.check_room(layout, chunk)
    with pytest.raises(ValueError, match=r"holds 3 chunks and chunk 4 .* bank\.capacity to 4 .*'drop_oldest'"):
        wm.check_room(layout, 4)


def test_full_mode_raises_before_it_would_forget():
    layout = wm.WorldMemory.create(wm.MemoryConfig(mode="full"), SPEC, chunks=2).layout
    wm.check_room(layout, 1)
    with pytest.raises(ValueError, match=r"made for 2; chunk 2 .* chunks=3"):
        wm.check_room(layout, 2)


def test_under_jit_a_refused_chunk_shows_in_the_repr():
    memory = fill(worldkv(capacity=3), [jax.device_put(view) for view in poses(6)])
    assert held(memory) == [1, 2, 3]
    assert lost_chunks(memory.layout, 6) == 2
    assert "LOST: 2 chunks" in repr(memory)


def test_under_jit_a_full_memory_that_forgets_shows_in_the_repr():
    *_, step = walk(wm.MemoryConfig(mode="full"), 5, length=3)
    assert "LOST: 2 chunks" in repr(step.memory)


def test_drop_oldest_holds_the_latest():
    memory = fill(worldkv(capacity=3, when_full="drop_oldest", chunks=1), [jax.device_put(v) for v in poses(9)])
    assert held(memory) == [6, 7, 8]
    assert "(5 dropped)" in repr(memory) and "LOST" not in repr(memory)


def redundant(**options) -> wm.MemoryConfig:
    return worldkv(capacity=4, when_full="drop_most_redundant", chunks=2, **options)


def test_drop_most_redundant_drops_the_younger_of_the_closest_pair():
    yaws = [0, 0, 90, 180, 92, 270]  # chunk 0 is in the sink; 4 resembles 2, and then there is room for 5
    memory = fill(redundant(), [still(yaw) for yaw in yaws[:5]])
    assert held(memory) == [1, 2, 3, 4]
    memory = remember(memory, span(5), still(yaws[5]))
    assert held(memory) == [1, 2, 3, 5]
    assert "(1 dropped)" in repr(memory)


def test_drop_most_redundant_may_refuse_the_new_chunk():
    memory = fill(redundant(), [still(yaw) for yaw in (0, 0, 90, 180, 270)])
    memory = remember(memory, span(5), still(181))
    assert held(memory) == [1, 2, 3, 4]


def test_pairs_are_compared_on_one_scale():
    """The closest pair is not the one that has another chunk far away to make it look close."""
    places = [0.0, 1.2, 50.0, 51.0, 100.0]  # chunks 1..5: (3, 4) are 1 apart, and (1, 2) are 1.2 of up to 98.8
    rule = wm.CameraDistance(rotation_weight=0.0)
    memory = fill(redundant(rule=rule), [still(0, (x, 0, 0)) for x in (0.0, *places)])
    assert held(memory) == [1, 2, 3, 5]


def test_the_closest_pair_is_the_one_a_double_loop_finds():
    views = poses(6, seed=3)
    config = redundant(rule=wm.CameraDistance(rotation_weight=0.0))
    memory = fill(config, [jax.device_put(view) for view in views[:5]])
    centres = views[:, 0, :, :3, 3].mean(axis=1)
    pairs = {(i, j): np.linalg.norm(centres[i] - centres[j]) for j in range(1, 6) for i in range(1, j)}
    younger = min(pairs, key=pairs.get)[1]
    memory = remember(memory, span(5), jax.device_put(views[5]))
    assert held(memory) == [chunk for chunk in range(1, 6) if chunk != younger]


def test_a_rule_without_pairs_of_its_own_can_drop_too():
    memory = fill(redundant(rule="overlap"), [still(yaw) for yaw in (0, 0, 90, 180, 91, 270)])
    assert held(memory) == [1, 2, 3, 5]


def test_equal_pairs_drop_the_lowest_younger_chunk():
    *_, step = walk(redundant(), 5)
    memory, chunk = step.memory, jnp.int32(5)
    index = memory.bank.index
    same = index._replace(descriptions=jnp.zeros_like(index.descriptions))
    slot = most_redundant(same, chunk, jnp.zeros_like(index.descriptions[0]), memory.bank.layout)
    assert int(index.chunks[slot]) == 2


def test_a_bank_that_cannot_offer_what_is_retrieved_is_refused():
    config = worldkv(chunks=2, capacity=2, when_full="drop_oldest")
    with pytest.raises(ValueError, match=r"retrieval\.chunks=2 .* 1 chunk that .* bank\.capacity to at least 3"):
        wm.WorldMemory.create(config, SPEC)
    wm.WorldMemory.create(dataclasses.replace(config, bank=wm.BankConfig(capacity=3, when_full="drop_oldest")), SPEC)
