"""The memory that the released program's flags describe (cvlab-kaist/WorldKV, generate_fast.py)."""

import dataclasses

from ports.lingbot_world.config import CHUNK_FRAMES, LingBotConfig
from worldkv_jax.memory import OFFICIAL, BankConfig, CompressionConfig, MemoryConfig

RECENT_FRAMES = 6
"""Latent frames of the window that are neither sink nor retrieved, the current chunk's own included."""


def released_memory(
    *,
    full_kv: bool = False,
    sliding_window: int = 0,
    use_retrieval: bool = False,
    retrieval_frames: int = 6,
    retrieval_rope_correction: bool = False,
    kv_compression_enable: bool = False,
    kv_compression_keep_ratio: float = 0.5,
    kv_compression_anchor_rotate: bool = False,
    kv_compression_at_store: bool = False,
    kv_compression_pooled: bool = False,
    kv_bank_on_gpu: bool = False,
    sink_size: int = LingBotConfig.sink_frames,
) -> MemoryConfig:
    """Translate the flags of the released program; without any, the window is the sink and the latest frames.

    Raises:
        ValueError: flags that exclude each other, a window shorter than a chunk, or flags that the released
            program would ignore without a word.
    """
    modes = {"--full_kv": full_kv, "--sliding_window": sliding_window, "--use_retrieval": use_retrieval}
    chosen = [name for name, given in modes.items() if given]
    if len(chosen) > 1:
        raise ValueError(f"{' and '.join(chosen)} exclude each other; give one of them")
    _check_compression(
        kv_compression_enable, kv_compression_at_store, kv_compression_pooled, kv_compression_anchor_rotate
    )
    if full_kv:
        return MemoryConfig(mode="full")
    if sliding_window:
        if sliding_window < CHUNK_FRAMES:
            raise ValueError(
                f"--sliding_window {sliding_window} is shorter than a chunk; give {CHUNK_FRAMES} latent frames or more"
            )
        return MemoryConfig(mode="sliding", recent_frames=sliding_window - CHUNK_FRAMES)
    retrieved = retrieval_frames if use_retrieval else 0
    chunks, recent = retrieved // CHUNK_FRAMES, RECENT_FRAMES - CHUNK_FRAMES
    if not chunks:  # too few frames to retrieve a chunk only widen the window
        return MemoryConfig(mode="sink_recent", sink_frames=sink_size, recent_frames=recent + retrieved)
    return dataclasses.replace(
        OFFICIAL,
        sink_frames=sink_size,
        recent_frames=recent,
        retrieval=dataclasses.replace(
            OFFICIAL.retrieval, chunks=chunks, positions="rebased" if retrieval_rope_correction else "as_stored"
        ),
        compression=CompressionConfig(
            keep_ratio=kv_compression_keep_ratio if kv_compression_enable else 1.0,
            similarity="centroid",
            pooled=kv_compression_pooled,
            at="store" if kv_compression_at_store else "retrieval",
            rotate_anchor=kv_compression_anchor_rotate,
        ),
        bank=BankConfig(tier="device" if kv_bank_on_gpu else "host"),
    )


def _check_compression(enable: bool, at_store: bool, pooled: bool, rotate: bool) -> None:
    """Refuse what the released program reads and then ignores."""
    given = {"at_store": at_store, "pooled": pooled, "anchor_rotate": rotate}
    if any(given.values()) and not enable:
        names = ", ".join(f"--kv_compression_{name}" for name, flag in given.items() if flag)
        raise ValueError(f"{names} without --kv_compression_enable prunes nothing; add it, or leave the former out")
    if pooled and not at_store:
        raise ValueError("--kv_compression_pooled only works with --kv_compression_at_store; add it")
    if rotate and at_store:
        raise ValueError(
            "--kv_compression_anchor_rotate does not work with --kv_compression_at_store: a stored chunk has no rank "
            "yet; leave one of them out"
        )
