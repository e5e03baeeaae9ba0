"""A context holds exactly the tokens that its mode says, for every mode and chunk."""

import dataclasses

import jax
import numpy as np
import pytest

from tests.memory.walks import (
    FRAMES,
    SPEC,
    picked,
    poses,
    recall,
    remember,
    span,
    tokens_in,
    tokens_of,
    walk,
    worldkv,
)
from worldkv_jax import memory as wm
from worldkv_jax.memory.index import FARTHEST
from worldkv_jax.memory.layout import Layout
from worldkv_jax.memory.prefetching import can_prefetch, prefetch
from worldkv_jax.memory.report import attended_tokens

RELEASED = dataclasses.replace(worldkv(chunks=2, rule="released"), released_window=True, recent_frames=3)


def window_frames(config: wm.MemoryConfig, chunk: int, found: bool, length: int) -> list[int]:
    """The frames of the window as the modes define them, from nothing but lists."""
    past = list(range(chunk * FRAMES))
    if config.mode == "full":
        return past
    sink, rest = past[: config.sink_frames], past[config.sink_frames :]
    recent = config.recent_frames
    if config.released_window:  # a rolling cache of sink + retrieved + 6 frames with the current chunk
        retrieved = config.retrieval.chunks * FRAMES
        whole = min(config.sink_frames + retrieved + config.recent_frames + FRAMES, length * FRAMES)
        recent = whole - config.sink_frames - FRAMES - (retrieved if found else 0)
    return sink + rest[max(0, len(rest) - recent) :]


def check_tokens(config, step, length):
    found = [] if step.picks is None else picked(step.picks)
    layout = step.memory.layout
    frames = window_frames(config, step.chunk, bool(found), length)
    window = tokens_of(frames)
    retrieved = [t for c in found for t in tokens_of(range(c * FRAMES, (c + 1) * FRAMES))]
    assert not set(window) & set(retrieved), "a chunk is in the window and retrieved"
    for layer in range(SPEC.layers):
        got = tokens_in(step.context, layer)
        if step.picks is None or layout.bank.kept_tokens == SPEC.chunk_tokens:
            assert got == sorted(window + retrieved), f"chunk {step.chunk}"
            continue
        pruned = sorted(set(got) - set(window))
        assert len(got) == len(set(got)) == len(window) + layout.bank.kept_tokens * len(found)
        anchors = [t for c in found for t in tokens_of([c * FRAMES])]
        assert set(anchors) <= set(pruned) <= set(retrieved)
    attended = attended_tokens(layout, step.chunk, found=len(found))
    assert int(step.context.length) == attended <= layout.context_tokens
    if layout.bank and config.bank.when_full != "drop_most_redundant":
        assert attended_tokens(layout, step.chunk) == attended
    else:
        assert attended_tokens(layout, step.chunk) >= attended


CONFIGS = {
    "full": wm.MemoryConfig(mode="full"),
    "sliding 3": wm.MemoryConfig(mode="sliding", recent_frames=3),
    "sliding 7": wm.MemoryConfig(mode="sliding", recent_frames=7),
    "sliding 1": wm.MemoryConfig(mode="sliding", recent_frames=1),
    "sliding 0": wm.MemoryConfig(mode="sliding", recent_frames=0),
    "sink 3, recent 3": wm.MemoryConfig(mode="sink_recent"),
    "sink 4, recent 2": wm.MemoryConfig(mode="sink_recent", sink_frames=4, recent_frames=2),
    "sink 1, recent 8": wm.MemoryConfig(mode="sink_recent", sink_frames=1, recent_frames=8),
    "sink 2, recent 0": wm.MemoryConfig(mode="sink_recent", sink_frames=2, recent_frames=0),
    "worldkv": worldkv(),
    "worldkv, no sink": worldkv(sink_frames=0),
    "worldkv, no recent": worldkv(recent_frames=0),
    "worldkv, sink 6, recent 6": worldkv(sink_frames=6, recent_frames=6),
    "worldkv, pruned": worldkv(chunks=3, compression=wm.CompressionConfig(keep_ratio=0.5)),
    "worldkv, pruned on retrieval": worldkv(
        compression=wm.CompressionConfig(keep_ratio=0.25, at="retrieval", pooled=False, rotate_anchor=False)
    ),
    "worldkv, small bank": worldkv(capacity=4, when_full="drop_oldest"),
    "worldkv, smallest bank": worldkv(chunks=1, capacity=2, when_full="drop_oldest"),
    "worldkv, no redundant": worldkv(capacity=3, when_full="drop_most_redundant"),
    "released": RELEASED,
    "released, sink 4": dataclasses.replace(RELEASED, sink_frames=4),
    "released, no sink": dataclasses.replace(RELEASED, sink_frames=0),
    "released, pruned": dataclasses.replace(RELEASED, compression=wm.OFFICIAL.compression),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_valid_rows_are_the_tokens_of_the_mode(name):
    config, length = CONFIGS[name], 9
    steps = list(walk(config, length))
    for step in steps:
        check_tokens(config, step, length)
    if config.mode == "worldkv":
        assert any(int(step.picks.count) == config.retrieval.chunks for step in steps)


@pytest.mark.parametrize("length", [9, 12, 40])
def test_official_attends_to_as_many_tokens_as_its_report_says(length):
    layout = Layout(config=wm.OFFICIAL, spec=SPEC, chunks=length)
    for step in walk(wm.OFFICIAL, min(length, 13), length=length):
        assert int(step.context.length) == attended_tokens(layout, step.chunk)
        assert len(set(tokens_in(step.context))) == int(step.context.length)


@pytest.mark.parametrize("keep", ["window", "retrieval"])
def test_worldkv_that_keeps_everything_is_full_memory(keep):
    """By a window as long as the history, or by retrieving all of it unpruned."""
    length = 7
    config = worldkv(recent_frames=3 * length) if keep == "window" else worldkv(chunks=length - 1, capacity=length)
    full = wm.MemoryConfig(mode="full")
    for ours, theirs in zip(walk(config, length), walk(full, length)):
        assert int(ours.context.length) == int(theirs.context.length)
        np.testing.assert_array_equal(_rows(ours.context), _rows(theirs.context))


def _rows(context: wm.Context) -> np.ndarray:
    """All valid keys and values, in the order of their tokens."""
    keys, values = (np.asarray(a)[:, 0, : int(context.length)] for a in context.span)
    order = np.argsort(values[0, :, 0, 0])
    return np.concatenate([keys[:, order], values[:, order]], axis=-1)


def test_the_order_of_bank_slots_does_not_matter():
    *_, step = walk(worldkv(chunks=3), 8, length=9)
    memory, view = step.memory, jax.device_put(poses(9, seed=1)[8])
    # Ties included: two pairs of slots have equal descriptions.
    index = memory.bank.index
    descriptions = np.array(index.descriptions)
    descriptions[3:5] = descriptions[1:3]
    memory = memory.replace(bank=memory.bank.replace(index=index._replace(descriptions=descriptions)))
    want_context, want = recall(memory, view)
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(memory.bank.layout.capacity)
        shuffled = memory.replace(bank=jax.tree.map(lambda a: np.asarray(a)[order], memory.bank))  # noqa: B023
        context, picks = recall(shuffled, view)
        np.testing.assert_array_equal(picks.chunks, want.chunks)
        np.testing.assert_array_equal(picks.scores, want.scores)
        jax.tree.map(np.testing.assert_array_equal, context, want_context)


def test_equal_distances_go_to_the_lowest_chunk():
    everywhere_the_same = np.broadcast_to(poses(1)[0], (8, 1, FRAMES, 4, 4))
    for step in walk(worldkv(), 8, length=9, cameras=everywhere_the_same):
        assert picked(step.picks) == list(range(1, step.chunk - 1))[:2]


def test_picks_beyond_the_count_are_marked():
    for step in walk(worldkv(chunks=4), 6):
        count = int(step.picks.count)
        assert count == max(0, min(4, step.chunk - 2))
        assert (np.asarray(step.picks.chunks)[:, count:] == -1).all()
        assert (np.asarray(step.picks.scores)[:, count:] == FARTHEST).all()
        assert (np.asarray(step.picks.scores)[:, :count] < 10).all()


@pytest.mark.parametrize("policy", ["error", "drop_oldest"])
def test_prefetched_chunks_give_the_same_context(policy):
    length = 8
    config = worldkv(capacity=5 if policy == "drop_oldest" else None, when_full=policy)
    cameras = [jax.device_put(view) for view in poses(length)]
    memory = wm.WorldMemory.create(config, SPEC, chunks=length)
    jitted, fetched = jax.jit(prefetch), None
    for chunk, view in enumerate(cameras):
        context, picks = recall(memory, view)
        if fetched is not None:
            ahead, certain = recall(memory, view, fetched=fetched)
            assert picked(certain) == picked(picks)
            np.testing.assert_array_equal(_rows(ahead), _rows(context))
        if chunk + 1 < length:
            fetched = jitted(memory, cameras[chunk + 1])
        memory = remember(memory, span(chunk), view)
    assert int(picks.count) == 2


def test_prefetch_waits_where_the_next_chunk_decides():
    for config in (
        worldkv(recent_frames=0),
        worldkv(capacity=4, when_full="drop_most_redundant"),
        worldkv(rule="attention"),
    ):
        memory = wm.WorldMemory.create(config, SPEC, chunks=8)
        assert not can_prefetch(memory.bank.layout)
        assert prefetch(memory, jax.device_put(poses(1)[0])) is None


def test_a_released_window_hides_the_chunk_itself_in_a_short_video():
    """The released code leaves no room for the current chunk where sink and retrieved chunks fill the cache."""
    released = dataclasses.replace(RELEASED, retrieval=dataclasses.replace(RELEASED.retrieval, chunks=4))
    steps = list(walk(released, 5))
    assert [bool(step.context.hides_own) for step in steps] == [False, False, False, True, True]
    assert [len(tokens_in(step.context)) // (FRAMES * SPEC.tokens_per_frame) for step in steps] == [0, 1, 2, 2, 3]
    assert tokens_in(steps[3].context) == tokens_of([0, 1, 2, 3, 4, 5])
    assert [step.context.hides_own for step in walk(released, 5, length=6)] == [None] * 5
