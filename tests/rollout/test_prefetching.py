"""Chunks are begun ahead where cameras are known, and fetched for a guess where they are not."""

import gc
import itertools
import time

import jax
import numpy as np
import pytest

from tests.memory.walks import worldkv
from tests.rollout.worlds import BACKBONE, LENGTH, PARAMS, latents, noise, run, views
from worldkv_jax import memory as wm
from worldkv_jax import rollout as ro
from worldkv_jax.cameras import trajectory
from worldkv_jax.memory.prefetching import correct, prefetch
from worldkv_jax.memory.slot_bank import SlotBank
from worldkv_jax.rollout.prefetching import continue_motion


def begun_when_yielded(config, *, live: bool) -> list[int]:
    """Say how many chunks were begun when each of five was yielded."""
    seen, counts = [], []
    world = ro.start(BACKBONE, PARAMS, config, chunks=LENGTH)
    inputs = iter(views(5)) if live else views(5)
    for _ in ro.stream(BACKBONE, PARAMS, world, inputs, noise=lambda i: seen.append(i) or noise(i)):
        counts.append(len(seen))
    assert seen == list(range(5))
    return counts


@pytest.mark.parametrize("tier", ["device", "pinned_host"])
def test_known_chunks_are_begun_one_ahead_and_live_ones_when_asked_for(tier):
    assert begun_when_yielded(worldkv(tier=tier), live=False) == [2, 3, 4, 5, 5]
    assert begun_when_yielded(worldkv(tier=tier), live=True) == [1, 2, 3, 4, 5]


def test_the_seconds_of_chunks_add_up_to_the_time_of_the_rollout(monkeypatch):
    """Also the time that the caller takes: a chunk that waits to be asked for is not there yet."""
    now = 100.0

    def takes(seconds):
        nonlocal now
        now += seconds

    monkeypatch.setattr(time, "perf_counter", lambda: now)
    world = ro.start(BACKBONE, PARAMS, worldkv(), chunks=LENGTH)
    seconds, there = [], []
    for chunk in ro.stream(BACKBONE, PARAMS, world, views(6), noise=lambda i: takes(0.25) or noise(i)):
        there.append(now)
        seconds.append(chunk.seconds)
        takes(0.5)
    assert seconds == [0.5, *[0.75] * 4, 0.5]  # two are begun before the first is there, and none before the last
    assert sum(seconds[1:]) == there[-1] - there[0]


def test_a_rollout_can_be_left_at_any_chunk():
    world = ro.start(BACKBONE, PARAMS, worldkv(tier="host"), chunks=LENGTH)
    made = ro.stream(BACKBONE, PARAMS, world, views(6), noise=noise)
    assert next(made).index == 0 and next(made).index == 1
    made.close()


def test_a_steady_turn_is_foreseen():
    chunks = ro.chunk_inputs(trajectory("R80", degrees_per_frame=5.0)[:9], BACKBONE.spec)
    for now, coming in itertools.pairwise(chunks):
        np.testing.assert_allclose(continue_motion(now.cameras), coming.cameras, atol=1e-5)
    still = chunks[0].cameras[:, :1]
    np.testing.assert_allclose(continue_motion(still), still, atol=1e-6)


@pytest.fixture
def moves(monkeypatch):
    """Counts the chunks that move to the device."""
    seen = []

    def counted(bank, picks, window, *, known=None):
        before = [] if known is None else [id(span) for span in known.spans]
        fetched = fetch(bank, picks, window, known=known)
        found = fetched.spans[: int(picks.count)]
        seen.append(sum(id(span) not in before for span in found))
        return fetched

    fetch = SlotBank.fetch
    monkeypatch.setattr(SlotBank, "fetch", counted)
    return seen


def test_what_a_guess_brought_does_not_move_again(moves):
    inputs = views(8)
    config = worldkv(tier="host")
    world = ro.start(BACKBONE, PARAMS, config, chunks=LENGTH)
    _, world = ro.rollout(BACKBONE, PARAMS, world, inputs[:6], noise=noise, decode=False)
    memory = world.memory
    moves.clear()
    guess = prefetch(memory, inputs[7].cameras)
    found = chunks_of(guess)
    right = correct(memory, inputs[7].cameras, guess)
    others = (correct(memory, given.cameras, guess) for given in inputs)
    wrong = next(fetched for fetched in others if not chunks_of(fetched) <= found)
    assert moves[0] == 2
    assert moves[1] == len(chunks_of(right) - found) and moves[-1] == len(chunks_of(wrong) - found) > 0
    for fetched, count in ((right, moves[1]), (wrong, moves[-1])):
        assert int(fetched.picks.count) - count == len(chunks_of(fetched) & found)
    want, _ = wm.recall(memory, inputs[7].cameras)
    got, _ = wm.recall(memory, inputs[7].cameras, fetched=right)
    jax.tree.map(np.testing.assert_array_equal, got, want)


def chunks_of(fetched) -> set[int]:
    return set(np.asarray(fetched.picks.chunks)[0].tolist())


def test_a_live_camera_that_goes_on_as_before_costs_no_second_move(moves):
    """Turning steadily, every guess is right: each chunk moves what a known camera would."""
    path = trajectory("R300", degrees_per_frame=7.5)
    inputs = ro.chunk_inputs(path[: len(path) // 3 * 3], BACKBONE.spec)
    config = worldkv(tier="host")
    counts, made = {}, {}
    for live in (False, True):
        moves.clear()
        world = ro.start(BACKBONE, PARAMS, config, chunks=len(inputs))
        given = iter(inputs) if live else inputs
        made[live], _ = ro.rollout(BACKBONE, PARAMS, world, given, noise=noise, decode=False)
        counts[live] = sum(moves)
    np.testing.assert_array_equal(latents(made[True]), latents(made[False]))
    assert counts[True] <= counts[False] + 2, "but for the guess beyond the end"


def test_a_decoder_goes_on_where_it_was_left():
    whole, _ = run(worldkv(), 4, decode=True)
    live, _ = run(worldkv(), 4, decode=True, live=True)
    for ours, theirs in zip(live, whole):
        np.testing.assert_array_equal(ours.frames, theirs.frames)


def test_chunks_that_were_read_make_room_for_those_that_are_fetched(monkeypatch):
    """What is fetched finds on the device the picks of the chunk that reads them now, and none of those before."""
    waiting = []
    fetch = SlotBank.fetch

    def counted(bank, picks, window, **options):
        spec = bank.layout.spec
        shape = (spec.layers, bank.layout.stored_tokens, spec.heads, spec.head_dim)
        arrays = [a for a in jax.live_arrays() if a.shape == shape and a.sharding.memory_kind == "device"]
        waiting.append(len(arrays))
        return fetch(bank, picks, window, **options)

    monkeypatch.setattr(SlotBank, "fetch", counted)
    config = worldkv(tier="pinned_host")
    in_use = 2 * config.retrieval.chunks  # keys and values
    gc.collect()  # what other tests left is not in use
    for live in (False, True):
        waiting.clear()
        run(config, 9, live=live)
        assert len(waiting) >= 8 and max(waiting) == in_use
