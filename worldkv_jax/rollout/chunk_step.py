"""One chunk: recall, denoise, commit, remember."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from worldkv_jax.memory import Context, KVSpan, Picks, WorldMemory, recall, remember
from worldkv_jax.memory.bank import Fetched
from worldkv_jax.memory.retrieval import needs_query
from worldkv_jax.memory.world_memory import window_context
from worldkv_jax.rollout.backbone import AttentionProbe, Backbone, ChunkInput, CommittedSpan
from worldkv_jax.rollout.sampler import denoise
from worldkv_jax.rollout.world import World, unshare


class GeneratedChunk(NamedTuple):
    """What generating one chunk gives besides the new world."""

    latents: Float[Array, "B ..."]
    picks: Picks | None  # the chunks that were recalled


def generate_chunk(
    backbone: Backbone,
    params: Any,
    world: World,
    chunk: ChunkInput,
    noise: Float[Array, "steps B ..."],
    *,
    fetched: Fetched | None = None,
    while_running: Callable[[WorldMemory], None] | None = None,
) -> tuple[GeneratedChunk, World]:
    """Generate one chunk and remember it.

    Denoising reads the memory and only the clean pass writes it, once. With the bank on the device all of
    it is one jitted call that donates the world; with a host tier the passes are one jitted call and the
    chunk's way to the host runs beside what comes next.

    Args:
        backbone: the model.
        params: its parameters.
        world: the state before the chunk; it is consumed, unless it is a fork that copies first.
        chunk: cameras and conditions.
        noise: ``[steps, B, *latent_shape]``, see `denoise`.
        fetched: what `prefetch` brought for this chunk.
        while_running: called with the memory before the chunk when its context is packed and its passes are about to
            begin: what it gives the host or the link to do is done beside them. With a host tier only.

    Raises:
        ValueError: noise of another shape.
    """
    expected = (backbone.schedule.steps, world.memory.layout.worlds, *backbone.latent_shape)
    if np.shape(noise) != expected:
        raise ValueError(f"noise has shape {np.shape(noise)}, expected {expected}: [steps, worlds, *latent_shape]")
    world = unshare(world)
    if world.memory.jittable:
        return _step(params, world, chunk, noise, fetched, backbone=backbone)
    prepared = prepare(params, world.carry, chunk, world.position, backbone=backbone)
    context, picks = _recall(backbone, params, world.memory, chunk, prepared, noise[0], fetched)
    del fetched  # is in the context now, and what is fetched next may need its room
    if while_running is not None:
        while_running(world.memory)
    latents, own, carry = _generate_jit(params, prepared, context, noise, backbone=backbone)
    return GeneratedChunk(latents, picks), _next(world, own, carry, chunk)


def observe_chunk(
    backbone: Backbone, params: Any, world: World, chunk: ChunkInput, latents: Float[Array, "B ..."]
) -> World:
    """Remember given latents ``[B, *latent_shape]``: the clean pass alone, no denoising; consumes the world.

    Raises:
        ValueError: latents of another shape.
    """
    expected = (world.memory.layout.worlds, *backbone.latent_shape)
    if np.shape(latents) != expected:
        raise ValueError(f"latents have shape {np.shape(latents)}, expected {expected}: [worlds, *latent_shape]")
    world = unshare(world)
    if world.memory.jittable:
        return _observe(params, world, chunk, latents, backbone=backbone)
    prepared = prepare(params, world.carry, chunk, world.position, backbone=backbone)
    context, _ = _recall(backbone, params, world.memory, chunk, prepared, latents, None)
    own, carry = _commit_jit(params, latents, prepared, context, backbone=backbone)
    return _next(world, own, carry, chunk)


def needs_queries(memory: WorldMemory) -> bool:
    """Tell whether recalling takes a first pass over the chunk, to see what it would attend to."""
    return memory.bank is not None and needs_query(memory.bank.layout.retrieval.rule)


@functools.partial(jax.jit, static_argnames="backbone", donate_argnames="world")
def _step(
    params: Any, world: World, chunk: ChunkInput, noise: jax.Array, fetched: Fetched | None, *, backbone: Backbone
) -> tuple[GeneratedChunk, World]:
    prepared = backbone.prepare_chunk(params, world.carry, chunk, world.position)
    context, picks = _recall(backbone, params, world.memory, chunk, prepared, noise[0], fetched)
    latents, own, carry = _generate(params, prepared, context, noise, backbone)
    return GeneratedChunk(latents, picks), _next(world, own, carry, chunk)


@functools.partial(jax.jit, static_argnames="backbone", donate_argnames="world")
def _observe(params: Any, world: World, chunk: ChunkInput, latents: jax.Array, *, backbone: Backbone) -> World:
    prepared = backbone.prepare_chunk(params, world.carry, chunk, world.position)
    context, _ = _recall(backbone, params, world.memory, chunk, prepared, latents, None)
    own, carry = backbone.commit(params, latents, prepared, context)
    return _next(world, own, carry, chunk)


def _generate(
    params: Any, prepared: Any, context: Context, noise: jax.Array, backbone: Backbone
) -> tuple[jax.Array, KVSpan | CommittedSpan | None, Any]:
    latents = denoise(lambda x, t: backbone.flow(params, x, t, prepared, context), noise, backbone.schedule)
    own, carry = backbone.commit(params, latents, prepared, context)
    return latents, own, carry


def _next(world: World, own: KVSpan | CommittedSpan | None, carry: Any, chunk: ChunkInput) -> World:
    memory = world.memory
    if isinstance(own, CommittedSpan):
        memory = remember(memory, own.span, own.cameras, scores=own.scores)
    elif own is not None:
        memory = remember(memory, own, chunk.cameras)
    return World(memory, carry, world.position + 1, world.decoder)


def _recall(
    backbone: Backbone,
    params: Any,
    memory: WorldMemory,
    chunk: ChunkInput,
    prepared: Any,
    x: jax.Array,
    fetched: Fetched | None,
) -> tuple[Context, Picks | None]:
    query = None
    if fetched is None and needs_queries(memory):
        if not isinstance(backbone, AttentionProbe):
            raise ValueError(
                f"{type(backbone).__name__} has no `attention_queries` method, which retrieval by attention "
                "needs; use another retrieval rule, such as 'camera'"
            )
        query = mean_query(params, x, prepared, window_context(memory), backbone=backbone)
    return recall(memory, chunk.cameras, query=query, fetched=fetched)


# With a host tier these run on their own, between moves that jit cannot make.


@functools.partial(jax.jit, static_argnames="backbone")
def prepare(params: Any, carry: Any, chunk: ChunkInput, position: jax.Array, *, backbone: Backbone) -> Any:
    """Compute what is constant over the passes of a chunk, jitted on its own."""
    return backbone.prepare_chunk(params, carry, chunk, position)


@functools.partial(jax.jit, static_argnames="backbone")
def mean_query(params: Any, x: jax.Array, prepared: Any, context: Context, *, backbone: AttentionProbe) -> jax.Array:
    """Compute the mean queries ``[L, B, N, H]`` of the first pass over a chunk, jitted on its own."""
    return backbone.attention_queries(params, x, jnp.float32(backbone.schedule.times[0]), prepared, context).mean


_generate_jit = jax.jit(_generate, static_argnames="backbone")


@functools.partial(jax.jit, static_argnames="backbone")
def _commit_jit(
    params: Any, latents: jax.Array, prepared: Any, context: Context, *, backbone: Backbone
) -> tuple[KVSpan | CommittedSpan | None, Any]:
    return backbone.commit(params, latents, prepared, context)
