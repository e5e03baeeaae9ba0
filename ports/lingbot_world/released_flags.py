"""The memory that the released program's flags describe, and the lengths that its window cannot serve."""

import dataclasses
import warnings
from typing import Any

from ports.lingbot_world.config import LingBotConfig
from ports.lingbot_world.released_options import ReleasedMemory
from ports.wan.latents import CHUNK_FRAMES
from worldkv_jax.memory import OFFICIAL, BankConfig, CompressionConfig, MemoryConfig
from worldkv_jax.sessions import MemoryOptions

RECENT_FRAMES = 6
"""Latent frames of the window that are neither sink nor retrieved, the current chunk's own included."""
POSITIONS = 1024
"""Latent frames that the released code has rotary positions for."""


def choose_released(
    released: ReleasedMemory | None, asked: MemoryConfig | MemoryOptions | None, *, sink_size: int
) -> MemoryConfig | None:
    """Choose between the flags of the released program and this program's own; ``None`` without the former.

    Raises:
        ValueError: both choose the memory, or the flags exclude each other.
    """
    if released is None:
        return None
    memory = released_memory(**dataclasses.asdict(released), sink_size=sink_size)
    if asked is None:
        return memory
    if memory.bank is None or not isinstance(asked, MemoryOptions) or not asked.bank_alone():
        fields = dataclasses.fields(released)
        given = [f"--{field.name}" for field in fields if getattr(released, field.name) != field.default]
        raise ValueError(
            f"{', '.join(given)} come from the released program and already choose the memory; of this program's own "
            "options only those of the bank go with them (`tier`, `storage`, `capacity`, `when_full`)"
        )
    return asked.change(memory)


def released_memory(*, sink_size: int = LingBotConfig.sink_frames, **flags: Any) -> MemoryConfig:
    """Translate the flags of the released program; without any, the window is the sink and the latest frames.

    Args:
        sink_size: first latent frames that stay, as the checkpoint says.
        flags: of `ReleasedMemory`.

    Warns of flags that the released program ignores without a word.

    Raises:
        ValueError: flags that exclude each other, or a window shorter than a chunk.
    """
    asked = ReleasedMemory(**flags)
    modes = {f"--{name}": getattr(asked, name) for name in ("full_kv", "sliding_window", "use_retrieval")}
    chosen = [name for name, given in modes.items() if given]
    if len(chosen) > 1:
        raise ValueError(f"{' and '.join(chosen)} exclude each other; give one of them")
    _warn_of_no_effect(asked)
    if asked.full_kv:
        return _at_most(asked, MemoryConfig(mode="full"))
    if asked.sliding_window:
        if asked.sliding_window < CHUNK_FRAMES:
            raise ValueError(
                f"--sliding_window {asked.sliding_window} is shorter than a chunk; give {CHUNK_FRAMES} latent frames "
                "or more"
            )
        return _at_most(asked, MemoryConfig(mode="sliding", recent_frames=asked.sliding_window - CHUNK_FRAMES))
    if asked.use_retrieval and asked.retrieval_frames % CHUNK_FRAMES:
        warnings.warn(
            f"--retrieval_frames {asked.retrieval_frames} is not a whole number of chunks of {CHUNK_FRAMES}",
            stacklevel=2,
        )
    retrieved = asked.retrieval_frames if asked.use_retrieval else 0
    chunks, recent = retrieved // CHUNK_FRAMES, RECENT_FRAMES - CHUNK_FRAMES
    if not chunks:  # too few frames to retrieve a chunk only widen the window
        window = MemoryConfig(mode="sink_recent", sink_frames=sink_size, recent_frames=recent + retrieved)
        return window if asked.use_retrieval else _at_most(asked, window)
    return dataclasses.replace(
        OFFICIAL,
        sink_frames=sink_size,
        recent_frames=recent,
        retrieval=dataclasses.replace(
            OFFICIAL.parts.retrieval,
            chunks=chunks,
            positions="rebased" if asked.retrieval_rope_correction else "as_stored",
        ),
        compression=CompressionConfig(
            keep_ratio=asked.kv_compression_keep_ratio if asked.kv_compression_enable else 1.0,
            similarity="centroid",
            pooled=asked.kv_compression_at_store and asked.kv_compression_pooled,
            at="store" if asked.kv_compression_at_store else "retrieval",
            rotate_anchor=asked.kv_compression_anchor_rotate and not asked.kv_compression_at_store,
        ),
        bank=BankConfig(tier="device" if asked.kv_bank_on_gpu else "host"),
    )


def _at_most(flags: ReleasedMemory, memory: MemoryConfig) -> MemoryConfig:
    """Cut a window to the frames that the released program attends to at most: its latest, so that the sink goes first.

    Raises:
        ValueError: less than a chunk, or so many that a part of the sink would stay.
    """
    most = flags.max_attention_size
    if most is None:
        return memory
    if most < CHUNK_FRAMES:
        raise ValueError(f"--max_attention_size {most} is less than a chunk; give {CHUNK_FRAMES} latent frames or more")
    recent = most - CHUNK_FRAMES
    if memory.mode == "full":
        return MemoryConfig(mode="sliding", recent_frames=recent)
    sink = memory.sink_frames or 0
    if recent >= sink + memory.recent_frames:
        return memory
    if recent > memory.recent_frames:
        raise ValueError(
            f"--max_attention_size {most} would keep the last {recent - memory.recent_frames} of {sink} "
            f"sink frames; give {memory.recent_frames + CHUNK_FRAMES} to drop the sink, or "
            f"{sink + memory.recent_frames + CHUNK_FRAMES} to keep it"
        )
    return MemoryConfig(mode="sliding", recent_frames=recent)


def _warn_of_no_effect(flags: ReleasedMemory) -> None:
    """Tell which flags the released program reads and then ignores."""

    def warn(flag: str, why: str):
        warnings.warn(f"{flag} has no effect {why}, as in the released program", stacklevel=3)

    enabled, at_store = flags.kv_compression_enable, flags.kv_compression_at_store
    if enabled and not flags.use_retrieval:
        warn("--kv_compression_enable", "without --use_retrieval")
    if flags.max_attention_size is not None and flags.use_retrieval:
        warn("--max_attention_size", "with --use_retrieval")
    for name in ("at_store", "pooled", "anchor_rotate"):
        if getattr(flags, f"kv_compression_{name}") and not enabled:
            warn(f"--kv_compression_{name}", "without --kv_compression_enable")
    if flags.kv_compression_pooled and enabled and not at_store:
        warn("--kv_compression_pooled", "without --kv_compression_at_store")
    if flags.kv_compression_anchor_rotate and enabled and at_store:
        warn("--kv_compression_anchor_rotate", "with --kv_compression_at_store: a stored chunk has no rank yet")


def check_released_window(memory: MemoryConfig, latents: int) -> None:
    """Refuse lengths of rollouts for which the released window falls apart.

    Raises:
        ValueError: so few latent frames that the window loses frames that it should show, the current ones at worst,
            or more than the released table of positions has.
    """
    if not memory.released_window:
        return
    retrieved = memory.parts.retrieval.chunks * CHUNK_FRAMES
    sink = memory.sink_frames or 0
    window = sink + retrieved + memory.recent_frames + CHUNK_FRAMES
    if latents < window:
        raise ValueError(
            f"{latents} latent frames are fewer than the {window} of the released window (sink {sink}, "
            f"retrieved {retrieved}, recent {window - sink - retrieved}), which would lose frames; make "
            f"at least {(window - 1) * 4 + 1} video frames, retrieve fewer, or take `profile` default"
        )
    if latents > POSITIONS:
        raise ValueError(
            f"{latents} latent frames are more than the {POSITIONS} positions of the released code; "
            "take `profile` default"
        )
