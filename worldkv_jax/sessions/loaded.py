"""What a model's loader makes: weights where they lie, and what chunks are given."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from jax.sharding import Mesh, Sharding

from worldkv_jax.rollout import ChunkInput
from worldkv_jax.sessions.steering import Steering


@dataclasses.dataclass(frozen=True, kw_only=True)
class Placement:
    """Where weights lie."""

    sharding: Mesh | Sharding | None = None
    """A mesh that they are split over, one sharding for all of them, or the default device."""
    fsdp: bool = False
    """Whether axis ``data`` of the mesh holds a part of the weights each, and not only worlds of its own."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Loaded:
    """What a model's loader makes."""

    params: Any
    """Weights that the rollout needs, placed."""
    inputs: Callable[..., Iterable[ChunkInput]]
    """Makes what each chunk is given: without arguments of what the options said, else of another path or source."""
    live: Callable[[Sequence[Any]], Callable[[int], Any]] | None = None
    """Where the options say that somebody is asked chunk by chunk, makes that source of ``inputs``, given what was
    answered for the chunks before."""
    notes: tuple[str, ...] = ()
    """What one would not expect, to be said aloud."""
    steering: Steering | None = None
    """How somebody walks through the model's worlds key by key, where that is offered."""
