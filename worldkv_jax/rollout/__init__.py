"""Rollouts: the Backbone protocol, the sampler, the chunk step, and streaming."""

from worldkv_jax.rollout.backbone import (
    AttentionProbe,
    AttentionQueries,
    Backbone,
    ChunkInput,
    CommitsLastPass,
    CommittedSpan,
)
from worldkv_jax.rollout.checking import check_backbone
from worldkv_jax.rollout.chunk_step import GeneratedChunk, generate_chunk, observe_chunk
from worldkv_jax.rollout.inputs import chunk_inputs
from worldkv_jax.rollout.live import CameraSource, live_chunks
from worldkv_jax.rollout.noise import Noise
from worldkv_jax.rollout.placement import split, start_on_mesh, world_shardings
from worldkv_jax.rollout.sampler import Schedule, denoise, shifted_schedule
from worldkv_jax.rollout.stream import Chunk, Watch, observe, rollout, start, stream
from worldkv_jax.rollout.world import World, fork, snapshot

__all__ = [
    "AttentionProbe",
    "AttentionQueries",
    "Backbone",
    "CameraSource",
    "Chunk",
    "ChunkInput",
    "CommitsLastPass",
    "CommittedSpan",
    "GeneratedChunk",
    "Noise",
    "Schedule",
    "Watch",
    "World",
    "check_backbone",
    "chunk_inputs",
    "denoise",
    "fork",
    "generate_chunk",
    "live_chunks",
    "observe",
    "observe_chunk",
    "rollout",
    "shifted_schedule",
    "snapshot",
    "split",
    "start",
    "start_on_mesh",
    "stream",
    "world_shardings",
]
