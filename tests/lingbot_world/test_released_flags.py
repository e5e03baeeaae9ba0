"""Flags of the released program as a memory; lengths that its window cannot serve."""

import dataclasses

import pytest

from ports.lingbot_world.released_flags import check_released_window, released_memory
from worldkv_jax.memory import DEFAULT, OFFICIAL, BankConfig, MemoryConfig

DEMO = {
    "use_retrieval": True,
    "retrieval_frames": 18,
    "kv_bank_on_gpu": True,
    "kv_compression_enable": True,
    "kv_compression_keep_ratio": 0.5,
    "kv_compression_at_store": True,
    "kv_compression_pooled": True,
}
"""Of the command in the released program's description."""


def test_the_released_command_is_the_official_profile():
    assert released_memory(**DEMO) == OFFICIAL
    assert released_memory(**DEMO | {"kv_bank_on_gpu": False}).bank == BankConfig(tier="host")


def test_modes_without_a_bank():
    assert released_memory() == MemoryConfig(mode="sink_recent", sink_frames=3, recent_frames=3)
    assert released_memory(sink_size=0).sink_frames == 0
    assert released_memory(full_kv=True) == MemoryConfig(mode="full")
    assert released_memory(sliding_window=9) == MemoryConfig(mode="sliding", recent_frames=6)
    # Less than a chunk is never retrieved; the window grows all the same.
    with pytest.warns(UserWarning, match="not a whole number of chunks"):
        assert released_memory(use_retrieval=True, retrieval_frames=2).recent_frames == 5


def test_a_window_that_is_cut():
    def cut(size, **flags):
        return released_memory(max_attention_size=size, **flags)

    assert cut(6) == MemoryConfig(mode="sliding", recent_frames=3)  # the sink is the first to go
    assert cut(3) == MemoryConfig(mode="sliding", recent_frames=0)
    assert cut(9) == cut(100) == released_memory()
    assert cut(9, full_kv=True) == MemoryConfig(mode="sliding", recent_frames=6)
    assert cut(6, sliding_window=9) == MemoryConfig(mode="sliding", recent_frames=3)
    with pytest.raises(ValueError, match="would keep the last 2 of 3 sink frames; give 6 to drop the sink, or 9"):
        cut(8)
    with pytest.raises(ValueError, match="less than a chunk"):
        cut(2)
    with pytest.warns(UserWarning, match="--max_attention_size has no effect with --use_retrieval"):
        assert cut(6, use_retrieval=True).mode == "worldkv"


def test_parts_of_the_official_profile():
    with pytest.warns(UserWarning, match="not a whole number of chunks"):
        plain = released_memory(use_retrieval=True, retrieval_frames=7)
    assert plain.retrieval.chunks == 2 and plain.compression.keep_ratio == 1
    assert released_memory(use_retrieval=True, retrieval_rope_correction=True).retrieval.positions == "rebased"
    late = released_memory(use_retrieval=True, kv_compression_enable=True, kv_compression_anchor_rotate=True)
    assert late.compression.at == "retrieval" and late.compression.rotate_anchor and not late.compression.pooled


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ({"full_kv": True, "use_retrieval": True}, "--full_kv and --use_retrieval exclude each other"),
        ({"sliding_window": 9, "use_retrieval": True}, "--sliding_window and --use_retrieval"),
        ({"sliding_window": 2}, "shorter than a chunk; give 3"),
        (DEMO | {"kv_compression_keep_ratio": 0.0}, r"outside \(0, 1\]"),
    ],
)
def test_flags_that_exclude_each_other(flags, says):
    with pytest.raises(ValueError, match=says):
        released_memory(**flags)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ({"kv_compression_pooled": True}, "pooled has no effect without --kv_compression_enable"),
        ({"kv_compression_enable": True}, "without --use_retrieval"),
        (
            {"use_retrieval": True, "kv_compression_enable": True, "kv_compression_pooled": True},
            "without --kv_compression_at_store",
        ),
        (DEMO | {"kv_compression_anchor_rotate": True}, "anchor_rotate has no effect with"),
    ],
)
def test_flags_that_the_released_program_ignores_are_named(flags, says):
    with pytest.warns(UserWarning, match=says):
        made = released_memory(**flags)
    if made.compression is not None and made.compression.at == "retrieval":
        assert not made.compression.pooled


def test_videos_that_are_too_short_for_the_released_window():
    check_released_window(OFFICIAL, 27)
    check_released_window(DEFAULT, 3)
    with pytest.raises(ValueError, match=r"24 latent frames are fewer than the 27 .* make at least 105 video frames"):
        check_released_window(OFFICIAL, 24)
    with pytest.raises(ValueError, match="more than the 1024 positions"):
        check_released_window(OFFICIAL, 1026)
    check_released_window(dataclasses.replace(OFFICIAL, released_window=False), 3)
