"""The memory of InSpatio-World: a bank alone, for the model makes its own sink and recent window."""

import dataclasses

from ports.inspatio_world.source_rule import SourceAware
from ports.wan.latents import CHUNK_FRAMES
from worldkv_jax.memory import DEFAULT, MemoryConfig
from worldkv_jax.memory.profiles import DISTANCE_RULE
from worldkv_jax.sessions import MemoryOptions, choose_memory

BEFORE_SOURCE = -CHUNK_FRAMES
"""Time position of chunks that are moved away from the previous output, see `InSpatioWorld.remembered_position`."""

NATIVE = MemoryConfig(mode="sliding", recent_frames=0)
"""Nothing: every chunk sees the source and the previous output, as released."""


def default_memory(chunks: int) -> MemoryConfig:
    """Return WorldKV for a rollout of this length, or nothing where it is too short to retrieve from.

    The source is the sink and the previous output the recent window; both are fresh in every chunk's context pass
    (InSpatio-World specification, section 8).
    """
    candidates = chunks - 2  # of the last chunk: all but the previous and itself
    if candidates < 1:
        return NATIVE
    # Of scores, to which `weigh_source` can add.
    retrieval = dataclasses.replace(DEFAULT.parts.retrieval, rule=DISTANCE_RULE)
    return dataclasses.replace(DEFAULT, sink_frames=0, recent_frames=0, retrieval=retrieval).fitted(candidates)


def as_asked(asked: MemoryConfig | MemoryOptions | None, *, chunks: int) -> tuple[MemoryConfig, int]:
    """Fit a memory that was asked for to the model, whose chunks bring a sink and a recent window of their own.

    Args:
        asked: a memory, with the window of other models; changes to the model's own; or ``None`` for just that. Only
            changes may ask for latent frames of the model's first output, or before its previous one.
        chunks: length of the rollout.

    Returns:
        The memory, and the time position at which remembered chunks begin.

    Raises:
        ValueError: the released window of another model.
    """
    changes = asked if isinstance(asked, MemoryOptions) else MemoryOptions()
    memory = choose_memory(asked, default_memory(chunks), NATIVE)
    if memory.released_window:
        raise ValueError(
            "the official profile keeps the window of LingBot-World's released code; there is none for "
            "InSpatio-World. Take `profile` paper, or the parts you want: `rule` released, `similarity` centroid"
        )
    memory = dataclasses.replace(memory, recent_frames=changes.recent or 0)
    if memory.mode in ("sink_recent", "worldkv"):
        memory = dataclasses.replace(memory, sink_frames=changes.sink or 0)
    if memory.mode != "worldkv" or memory.parts.retrieval.positions != "rebased":
        return memory, CHUNK_FRAMES
    # All remembered chunks stand at one place; the memory would move them by their age.
    retrieval = dataclasses.replace(memory.parts.retrieval, positions="as_stored")
    return dataclasses.replace(memory, retrieval=retrieval), BEFORE_SOURCE


def weigh_source(memory: MemoryConfig, *, times, known, time_weight: float, known_weight: float) -> MemoryConfig:
    """Let retrieval weigh the source's time and what it showed, see `SourceAware`.

    Raises:
        ValueError: a memory without retrieval, or a bank that forgets redundant chunks.
    """
    if not time_weight and not known_weight:
        return memory
    if memory.mode != "worldkv" or memory.parts.bank.when_full == "drop_most_redundant" or memory.recent_frames:
        raise ValueError(
            "weights of the source's time and of what it shows need `memory` worldkv with `recent` 0, and a bank that "
            "is full only of the latest chunks: `when_full` error or drop_oldest"
        )
    rule = SourceAware(
        views=memory.parts.retrieval.rule,
        times=tuple(times),
        known=tuple(known),
        time_weight=time_weight,
        known_weight=known_weight,
    )
    return dataclasses.replace(memory, retrieval=dataclasses.replace(memory.parts.retrieval, rule=rule))
