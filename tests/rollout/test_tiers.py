"""Whole rollouts are bit for bit the same whichever memory holds the bank, prefetched, guessed or not."""

import numpy as np
import pytest

from tests.memory.walks import worldkv
from tests.rollout.worlds import latents, run
from worldkv_jax import memory as wm
from worldkv_jax.memory.prefetching import can_prefetch, prefetch
from worldkv_jax.rollout import prefetching

PRUNED = wm.CompressionConfig(keep_ratio=0.5)
CONFIGS = {
    "roomy": {},
    "two worlds": {},
    "pruned at retrieval, rebased": {
        "compression": wm.CompressionConfig(keep_ratio=0.5, at="retrieval"),
        "positions": "rebased",
    },
    "drop oldest": {"capacity": 4, "when_full": "drop_oldest"},
    "drop most redundant": {"capacity": 3, "when_full": "drop_most_redundant"},
    "by attention": {"rule": "attention"},
    "in int8": {"storage": "int8"},
    "in float8, pruned at retrieval": {
        "storage": "float8",
        "compression": wm.CompressionConfig(keep_ratio=0.5, at="retrieval"),
        "positions": "rebased",
    },
    "no recent frames": {"recent_frames": 0},
}


@pytest.fixture
def prefetches(monkeypatch):
    """Counts how often chunks were fetched ahead."""
    seen = []

    def counted(memory, cameras, **options):
        fetched = prefetch(memory, cameras, **options)
        seen.append(fetched is not None)
        return fetched

    monkeypatch.setattr(prefetching, "prefetch", counted)
    return seen


@pytest.mark.optimized
@pytest.mark.parametrize("name", CONFIGS)
def test_every_tier_makes_the_same_world(name, prefetches):
    options = {"compression": PRUNED, **CONFIGS[name]}
    worlds = 2 if name == "two worlds" else 1
    want, world = run(worldkv(**options), worlds=worlds)
    assert not prefetches, "a bank on the device needs no prefetching"
    assert any(chunk.retrieved.shape[1] == 2 for chunk in want)
    for tier in ("device_slots", "pinned_host", "host"):
        for live in (False, True):
            prefetches.clear()
            got, ended = run(worldkv(**options, tier=tier), worlds=worlds, live=live)
            np.testing.assert_array_equal(latents(got), latents(want))
            for ours, theirs in zip(got, want):
                np.testing.assert_array_equal(ours.retrieved, theirs.retrieved)
                assert ours.attended_tokens == theirs.attended_tokens
            np.testing.assert_array_equal(ended.memory.bank.index.chunks, world.memory.bank.index.chunks)
            # Live cameras are guessed to the end; of known ones it is known where they end.
            assert len(prefetches) == (len(want) if live else len(want) - 1)
            certain = can_prefetch(ended.memory.bank.layout)
            assert all(found == certain for found in prefetches)


@pytest.mark.parametrize("tier", ["pinned_host", "host"])
def test_chunks_lie_in_their_tier(tier):
    _, world = run(worldkv(tier=tier, compression=PRUNED), 4)
    slots = [slot for slot in world.memory.bank.slots if slot is not None]
    assert len(slots) == 3
    for slot in slots:
        kind = slot[0].keys.sharding.memory_kind
        assert kind == ("pinned_host" if tier == "pinned_host" else "device")  # plain host memory is a CPU's own
        assert slot[0].keys.shape[1] == world.memory.bank.layout.stored_tokens
