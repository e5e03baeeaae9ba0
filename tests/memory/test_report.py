"""What a memory says of itself: for people, with the right numbers, and never by raising."""

import jax
import numpy as np
import pytest

from tests.memory.walks import SPEC, poses, remember, span, walk, worldkv
from worldkv_jax import memory as wm
from worldkv_jax.byte_counts import format_bytes
from worldkv_jax.memory.report import attended_tokens, bytes_by_tier, capacity_by_tier

TOKEN = 2 * 2 * 2 * 8 * 4  # bytes: keys and values, layers, heads, head dim, float32
PRUNED = wm.CompressionConfig(keep_tokens=6)


def held_bytes(memory: wm.WorldMemory) -> int:
    """Bytes of the rows that were written, counted in the buffers themselves."""
    leaves = [*jax.tree.leaves(memory.window), *jax.tree.leaves(memory.bank.slots if memory.bank else ())]
    rows = sum(int((np.asarray(leaf) != 0).any(axis=(-2, -1)).sum()) for leaf in leaves)
    return rows * SPEC.heads * SPEC.head_dim * 4


def filled(config: wm.MemoryConfig, chunks: int) -> wm.WorldMemory:
    memory = wm.WorldMemory.create(config, SPEC, chunks=9)
    own = jax.device_put(jax.tree.map(np.ones_like, span(0)))
    for chunk in range(chunks):
        memory = (remember if memory.jittable else wm.remember)(memory, own, jax.device_put(poses(chunk + 1)[chunk]))
    return memory


CONFIGS = {
    "full": wm.MemoryConfig(mode="full"),
    "sliding": wm.MemoryConfig(mode="sliding", recent_frames=5),
    "sink_recent": wm.MemoryConfig(mode="sink_recent", sink_frames=4, recent_frames=5),
    "worldkv": worldkv(compression=PRUNED),
    "host": worldkv(compression=PRUNED, tier="host"),
    "pinned_host": worldkv(compression=PRUNED, tier="pinned_host"),
    "drop": worldkv(compression=PRUNED, capacity=3, when_full="drop_oldest"),
    "released": wm.MemoryConfig(
        retrieval=wm.RetrievalConfig(chunks=2, rule="released"), compression=PRUNED, released_window=True
    ),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_bytes_in_use_are_the_bytes_that_were_written(name):
    for chunks in (0, 1, 2, 4, 9):
        memory = filled(CONFIGS[name], chunks)
        sizes = bytes_by_tier(memory.layout, chunks)
        assert sum(sizes.values()) == held_bytes(memory), f"after {chunks} chunks"
        capacity = capacity_by_tier(memory.layout)
        assert capacity.keys() == sizes.keys() and all(sizes[tier] <= capacity[tier] for tier in sizes)
    if memory.jittable:
        allocated = [*jax.tree.leaves(memory.window), *jax.tree.leaves(memory.bank.slots if memory.bank else ())]
        assert sum(leaf.nbytes for leaf in allocated) == sum(capacity.values())


def test_tiers_are_counted_apart():
    memory = filled(CONFIGS["host"], 5)
    assert bytes_by_tier(memory.layout, 5) == {"device": 6 * 4 * TOKEN, "host": 4 * 6 * TOKEN}


def test_repr_says_what_the_memory_is_and_holds():
    text = repr(filled(worldkv(compression=PRUNED, tier="host"), 5))
    assert text.splitlines() == [
        "WorldMemory(worldkv, 5 chunks seen, 1 world)",
        "  window: sink 3 + recent 3 frames of 4 tokens",
        "  bank: 4 of 8 chunks, 6 of 12 tokens each, in host memory; when full: error",
        "  recall: 2 nearest by CameraDistance, 6 tokens each, positions as stored",
        "  bytes: 6.0 KiB in device, 6.0 KiB in host",
    ]


def test_repr_of_the_other_modes_names_no_bank():
    text = repr(filled(CONFIGS["sliding"], 3))
    assert "sliding, 3 chunks seen" in text and "bank" not in text and "recall" not in text


def test_repr_works_while_tracing():
    texts = []
    jax.jit(lambda memory: texts.append(repr(memory)) or memory.chunk)(filled(CONFIGS["worldkv"], 2))
    jax.eval_shape(lambda memory: texts.append(repr(memory)) or memory.chunk, filled(CONFIGS["full"], 2))
    assert "no values" in texts[0] and "up to 8 chunks" in texts[0] and "when full" in texts[0].splitlines()[-1]
    assert "no values" in texts[1]


def test_repr_works_on_vmapped_and_odd_memories():
    memories = [filled(CONFIGS["worldkv"], 2), filled(CONFIGS["worldkv"], 2)]
    stacked = jax.tree.map(lambda *leaves: jax.device_put(np.stack(leaves)), *memories)
    assert "2 chunks seen, 2 memories x 1 world" in repr(stacked)
    assert repr(stacked).endswith(f"bytes: {format_bytes(2 * (6 * 4 + 6) * TOKEN)} in device")
    later = jax.tree.map(lambda *leaves: jax.device_put(np.stack(leaves)), memories[0], filled(CONFIGS["worldkv"], 4))
    assert "[2, 4] chunks seen" in repr(later)
    assert "no values" in repr(jax.tree.map(lambda _: None, memories[0]))
    abstract = jax.eval_shape(lambda: memories[0])
    assert "no values" in repr(abstract)


def test_repr_works_on_a_memory_that_was_consumed():
    memory = filled(CONFIGS["worldkv"], 2)
    remember(memory, span(2), jax.device_put(poses(1)[0]))
    assert memory.chunk.is_deleted() and "no values" in repr(memory)


def test_attended_tokens_without_counting_are_an_upper_bound_when_redundant_chunks_go():
    config = worldkv(capacity=3, chunks=3, when_full="drop_most_redundant")
    for step in walk(config, 10):
        layout, found = step.memory.layout, int(step.picks.count)
        assert attended_tokens(layout, step.chunk, found=found) == int(step.context.length)
        assert attended_tokens(layout, step.chunk) >= int(step.context.length)
