"""Which past a chunk attends to: as released, and with a world memory."""

import dataclasses

from ports.matrix_game2.config import MatrixGameConfig
from ports.matrix_game2.variants import GTA_DRIVE, TEMPLERUN, Variant
from worldkv_jax.memory import DEFAULT, MemoryConfig
from worldkv_jax.memory.profiles import DISTANCE_RULE

WHY_OFF = (
    "an endless run hardly ever returns to where it was, so there is little to retrieve; a memory can be given all "
    "the same"
)
"""Why templerun has no world memory unless asked for."""
DRIVING = dataclasses.replace(DISTANCE_RULE, rotation_weight=0.75)
"""A car coasts, which no action tells: its heading is surer than its place."""


def native_memory(config: MatrixGameConfig) -> MemoryConfig:
    """Return the window of the released model: the latest frames, and nothing else."""
    return MemoryConfig(mode="sliding", recent_frames=config.recent_frames)


def default_memory(variant: Variant, *, chunks: int) -> MemoryConfig:
    """Return the memory of a variant unless another is asked for.

    `DEFAULT` with as many tokens as the WorldKV paper has for this model: sink 3, recent 3 and current 3 latent frames,
    and nine retrieved ones; fewer in a rollout of ``chunks`` that is too short for them. They are chosen by camera
    distance: places are reckoned from actions, and how far the eye sees in units of steps, nobody measured.
    ``templerun`` has its native window.
    """
    if variant == TEMPLERUN:
        return native_memory(variant.configure())
    rule = DRIVING if variant == GTA_DRIVE else DISTANCE_RULE
    retrieval = dataclasses.replace(DEFAULT.parts.retrieval, rule=rule)
    return dataclasses.replace(DEFAULT, retrieval=retrieval).fitted(chunks)
