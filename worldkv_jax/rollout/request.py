"""A rollout that was asked for and checked, before any weight is loaded."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

from worldkv_jax.memory import MemoryConfig
from worldkv_jax.rollout.backbone import Backbone, ChunkInput
from worldkv_jax.rollout.plan import Cost


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What a model's command makes of its arguments."""

    backbone: Backbone
    memory: MemoryConfig
    chunks: int
    """Chunks to generate."""
    fps: float
    """Frames a second of the video."""
    cost: Cost
    load: Callable[[], tuple[Any, Iterable[ChunkInput]]]
    """Load the weights and encode the conditions: parameters, and what is given for each chunk."""
    worlds: int = 1
    pixel_frames: int | None = None
    """Frames of the video, where the last chunk makes more than were asked for."""
    pixel_scale: int = 1
    """Pixels that each pixel of the video becomes, for tiny worlds."""
    random_weights: bool = False
    summary: dict[str, Any] = dataclasses.field(default_factory=dict)
    """What was asked for, for the report: files, sizes, whatever the model was given."""
