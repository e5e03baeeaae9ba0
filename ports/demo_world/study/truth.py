"""Demo worlds that are told the truth: controls of noisy cameras, and of what drifts."""

import dataclasses
from typing import Any, NamedTuple

import jax

from ports.demo_world.backbone import DemoParams, DemoWorld, Prepared
from worldkv_jax.rollout import ChunkInput


@dataclasses.dataclass(frozen=True)
class TrulyConditioned(DemoWorld):
    """The demo world that is conditioned on true cameras, whatever cameras its memory is given."""

    def prepare_chunk(self, params: DemoParams, carry, chunk: ChunkInput, position) -> Any:
        """Prepare the chunk from its conditions."""
        return super().prepare_chunk(params, carry, ChunkInput(chunk.conditions), position)


class _TruthPrepared(NamedTuple):
    """What a chunk is prepared with, and the true latents that are remembered of it."""

    prepared: Prepared
    truth: jax.Array


@dataclasses.dataclass(frozen=True)
class TrulyRemembering(TrulyConditioned):
    """The demo world that remembers the truth, whatever it has generated; conditions are cameras and true latents."""

    def prepare_chunk(self, params: DemoParams, carry, chunk: ChunkInput, position) -> Any:
        """Prepare the chunk from its true cameras, and keep its true latents."""
        cameras, truth = chunk.conditions
        return _TruthPrepared(super().prepare_chunk(params, carry, ChunkInput(cameras, cameras), position), truth)

    def flow(self, params: DemoParams, x, t, prepared: Any, context) -> jax.Array:
        """Predict the flow of noisy latents."""
        return super().flow(params, x, t, prepared.prepared, context)

    def commit(self, params: DemoParams, x0, prepared: Any, context):
        """Run the clean pass over the truth."""
        return super().commit(params, prepared.truth, prepared.prepared, context)
