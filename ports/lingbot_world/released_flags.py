"""The memory that the released program's flags describe (cvlab-kaist/WorldKV, generate_fast.py)."""

import dataclasses
import warnings

from ports.lingbot_world.config import LingBotConfig
from ports.wan.latents import CHUNK_FRAMES
from worldkv_jax.memory import OFFICIAL, BankConfig, CompressionConfig, MemoryConfig

RECENT_FRAMES = 6
"""Latent frames of the window that are neither sink nor retrieved, the current chunk's own included."""
POSITIONS = 1024
"""Latent frames that the released code has rotary positions for."""


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

    Warns of flags that the released program ignores without a word.

    Raises:
        ValueError: flags that exclude each other, or a window shorter than a chunk.
    """
    modes = {"--full_kv": full_kv, "--sliding_window": sliding_window, "--use_retrieval": use_retrieval}
    chosen = [name for name, given in modes.items() if given]
    if len(chosen) > 1:
        raise ValueError(f"{' and '.join(chosen)} exclude each other; give one of them")
    _warn_of_no_effect(
        use_retrieval,
        kv_compression_enable,
        kv_compression_at_store,
        kv_compression_pooled,
        kv_compression_anchor_rotate,
    )
    if full_kv:
        return MemoryConfig(mode="full")
    if sliding_window:
        if sliding_window < CHUNK_FRAMES:
            raise ValueError(
                f"--sliding_window {sliding_window} is shorter than a chunk; give {CHUNK_FRAMES} latent frames or more"
            )
        return MemoryConfig(mode="sliding", recent_frames=sliding_window - CHUNK_FRAMES)
    if use_retrieval and retrieval_frames % CHUNK_FRAMES:
        warnings.warn(
            f"--retrieval_frames {retrieval_frames} is not a whole number of chunks of {CHUNK_FRAMES}", stacklevel=2
        )
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
            pooled=kv_compression_at_store and kv_compression_pooled,
            at="store" if kv_compression_at_store else "retrieval",
            rotate_anchor=kv_compression_anchor_rotate and not kv_compression_at_store,
        ),
        bank=BankConfig(tier="device" if kv_bank_on_gpu else "host"),
    )


def _warn_of_no_effect(use_retrieval: bool, enable: bool, at_store: bool, pooled: bool, rotate: bool) -> None:
    """Tell which flags the released program reads and then ignores."""

    def warn(flag: str, why: str):
        warnings.warn(f"{flag} has no effect {why}, as in the released program", stacklevel=3)

    if enable and not use_retrieval:
        warn("--kv_compression_enable", "without --use_retrieval")
    given = {"at_store": at_store, "pooled": pooled, "anchor_rotate": rotate}
    for name, flag in given.items():
        if flag and not enable:
            warn(f"--kv_compression_{name}", "without --kv_compression_enable")
    if pooled and enable and not at_store:
        warn("--kv_compression_pooled", "without --kv_compression_at_store")
    if rotate and enable and at_store:
        warn("--kv_compression_anchor_rotate", "with --kv_compression_at_store: a stored chunk has no rank yet")


def check_released_window(memory: MemoryConfig, latents: int) -> None:
    """Refuse lengths of rollouts for which the released window falls apart.

    Raises:
        ValueError: so few latent frames that the window loses frames that it should show, the current ones at worst,
            or more than the released table of positions has.
    """
    if not memory.released_window:
        return
    retrieved = memory.retrieval.chunks * CHUNK_FRAMES
    window = memory.sink_frames + retrieved + memory.recent_frames + CHUNK_FRAMES
    if latents < window:
        raise ValueError(
            f"{latents} latent frames are fewer than the {window} of the released window (sink {memory.sink_frames}, "
            f"retrieved {retrieved}, recent {window - memory.sink_frames - retrieved}), which would lose frames; make "
            f"at least {(window - 1) * 4 + 1} video frames, retrieve fewer, or use --profile default"
        )
    if latents > POSITIONS:
        raise ValueError(
            f"{latents} latent frames are more than the {POSITIONS} positions of the released code; "
            "use --profile default"
        )
