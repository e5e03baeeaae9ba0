"""Rollouts: start from nothing or from a given video, then generate chunk by chunk."""

import collections
import dataclasses
import functools
import sys
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from worldkv_jax.byte_counts import format_bytes
from worldkv_jax.memory import MemoryConfig, Picks, WorldMemory
from worldkv_jax.memory.layout import Layout
from worldkv_jax.memory.report import attended_tokens, bytes_by_tier
from worldkv_jax.rollout.backbone import Backbone, ChunkInput
from worldkv_jax.rollout.chunk_step import GeneratedChunk, generate_chunk, observe_chunk
from worldkv_jax.rollout.inputs import as_list, check_chunks
from worldkv_jax.rollout.noise import Noise, choose_noise
from worldkv_jax.rollout.prefetching import choose_prefetcher
from worldkv_jax.rollout.world import World, check_unconsumed, unshare

Watch = Callable[[int, ChunkInput, World], None]
"""Is told of each chunk as it is begun: its number, what it is given, and the world after it, decoder included. The
next step consumes that world, so whoever keeps it takes a `snapshot`."""


@dataclasses.dataclass(frozen=True)
class Chunk:
    """One generated chunk, with what it cost."""

    index: int
    """Its id: how many chunks came before, observed ones included."""
    latents: jax.Array
    """``[B, *latent_shape]``."""
    frames: np.ndarray | None
    """``[B, n, height, width, 3]`` in [0, 1]; ``None`` when not decoded."""
    retrieved: np.ndarray
    """Chunk ids ``[B, k]`` that were recalled, nearest first."""
    attended_tokens: int
    """Stored tokens the chunk attended to."""
    kv_bytes: dict[str, int]
    """Bytes of keys and values in use after it, by tier."""
    seconds: float
    """Until its frames were there: from when it was begun, or from when those of the chunk ahead were there if that was
    later. The first chunks include compilation."""


@dataclasses.dataclass(frozen=True)
class _InFlight:
    """A chunk that the device has been given, and nobody has waited for yet."""

    index: int
    generated: GeneratedChunk
    pixels: jax.Array | None
    since: float


def start(
    backbone: Backbone, params: Any, config: MemoryConfig, *, chunks: int | None = None, worlds: int = 1
) -> World:
    """Make a world that remembers nothing yet.

    Args:
        backbone: the model.
        params: its parameters.
        config: the memory.
        chunks: length of the rollout, observed chunks included; see `WorldMemory.create`.
        worlds: worlds in the batch.

    Returns:
        The world, on the device that holds the parameters. For parameters that are split over several devices use
        `start_on_mesh`, which splits its heads too.
    """
    memory = WorldMemory.create(config, backbone.spec, worlds=worlds, chunks=chunks)
    return place_like(params, World(memory, backbone.init_carry(params, worlds), jnp.int32(0)))


def observe(
    backbone: Backbone,
    params: Any,
    world: World,
    chunks: Sequence[ChunkInput],
    latents: Sequence[jax.Array],
) -> World:
    """Turn given frames into memory, so that a rollout can start from a real video.

    Args:
        backbone: the model.
        params: its parameters.
        world: the state before; it is consumed.
        chunks: cameras and conditions of the given chunks.
        latents: ``[B, *latent_shape]`` of each.

    Raises:
        ValueError: cameras or latents of another number or shape, poses that are not rigid or finite, or a memory
            that has no room for all chunks; before any of them is observed.
    """
    chunks = as_list(chunks)
    check_unconsumed(world)
    if len(chunks) != len(latents):
        raise ValueError(f"got {len(chunks)} chunks of cameras but {len(latents)} of latents")
    check_chunks(world.memory.layout, chunks, int(world.position))
    for chunk, x in zip(chunks, latents):
        world = observe_chunk(backbone, params, world, chunk, x)
    return world


def stream(
    backbone: Backbone,
    params: Any,
    world: World,
    chunks: Iterable[ChunkInput],
    *,
    key: jax.Array | None = None,
    noise: Noise | None = None,
    decode: bool = True,
    progress: bool = False,
    watch: Watch | None = None,
) -> Generator[Chunk, None, World]:
    """Generate chunk by chunk, yielding each as soon as it is there.

    Give a list of chunks where the cameras are known ahead: it is checked as a whole before anything is made, and
    every chunk is begun before the one ahead of it is yielded, so the device goes on while frames are copied,
    converted and written. Give a generator where they come live: each chunk is then yielded before the next one is
    asked for. With a host tier the next chunk's picks move to the device while this one is generated; where cameras
    come live, those of the cameras that would continue the motion. To save a long rollout on the way, stream it in
    parts: the world that one part returns is where the next goes on, decoder included.

    Args:
        backbone: the model.
        params: its parameters.
        world: the state to go on from; it is consumed.
        chunks: cameras and conditions of what to generate.
        key: typed random key; the same key and inputs give the same world.
        noise: noise of each chunk, instead of a key.
        decode: also decode the frames.
        progress: show a bar with frames a second and the bytes of keys and values.
        watch: is told of each chunk and the world after it.

    Yields:
        Each chunk.

    Returns:
        The world after the last chunk (the generator's return value).

    Raises:
        ValueError: neither or both of key and noise; cameras of another shape, or not rigid or finite; a memory
            without room that may not drop. Raised before the chunk is made; a list is checked before the first.
    """
    noise = choose_noise(key, noise, backbone, world.memory.layout.worlds)
    world = unshare(world)
    layout, first, lag = world.memory.layout, int(world.position), backbone.lag
    ahead = as_list(chunks) if isinstance(chunks, Sequence) else None
    if ahead is not None:
        check_chunks(layout, ahead, first)
    prefetcher = choose_prefetcher(world.memory, None if ahead is None else [chunk.cameras for chunk in ahead])
    decoder, world = world.decoder, world._replace(decoder=None)
    if decode and decoder is None:
        decoder = place_like(params, backbone.init_decoder(params, layout.worlds))
    bar = tqdm(total=None if ahead is None else len(ahead), unit="chunk", disable=not progress)
    in_flight: collections.deque[_InFlight] = collections.deque()
    latest = -np.inf

    def finish() -> Chunk:
        nonlocal latest
        chunk = _wait(in_flight.popleft(), layout, lag=lag, earliest=latest)
        latest = time.perf_counter()
        bar.update()
        bar.set_postfix_str(_status(chunk, backbone.spec.chunk_frames))
        return chunk

    with bar:
        for index, chunk in enumerate(chunks if ahead is None else ahead, first):
            since, pixels = time.perf_counter(), None
            if ahead is None:
                check_chunks(layout, [chunk], index)
            if progress and index == first:
                tqdm.write(f"compiling the chunk step of {type(backbone).__name__} ...", file=sys.stderr)
            generated, world = generate_chunk(
                backbone,
                params,
                world,
                chunk,
                noise(index),
                # Not kept in a variable here: once packed, what was fetched gives its room to what comes next.
                fetched=prefetcher.take(world.memory, chunk.cameras),
                while_running=prefetcher.fetch,
            )
            prefetcher.pick(world.memory)
            if decode:
                pixels, decoder = _decode(params, generated.latents, decoder, backbone=backbone)
                pixels.copy_to_host_async()
            if watch is not None:
                watch(index, chunk, world._replace(decoder=decoder))
            in_flight.append(_InFlight(index, generated, pixels, since))
            if ahead is None or len(in_flight) > 1:
                yield finish()
        while in_flight:
            yield finish()
    return world._replace(decoder=decoder)


def rollout(
    backbone: Backbone, params: Any, world: World, chunks: Iterable[ChunkInput], **options: Any
) -> tuple[list[Chunk], World]:
    """Collect what `stream` yields, and the world after it; takes the options of `stream`."""
    return collect(stream(backbone, params, world, chunks, **options))


def collect(generation: Generator[Chunk, None, World]) -> tuple[list[Chunk], World]:
    """Run what `stream` returned to its end; return its chunks, and the world after the last one."""
    made: list[Chunk] = []
    return made, exhaust(generation, made.append)


def exhaust(generation: Generator[Chunk, None, World], take: Callable[[Chunk], object] = lambda _: None) -> World:
    """Run what `stream` returned to its end, giving ``take`` each chunk; return the world after the last one."""
    while True:
        try:
            take(next(generation))
        except StopIteration as end:
            return end.value


def place_like(params: Any, state: Any) -> Any:
    """Bind fresh state to the device that holds the parameters.

    What jit returns is bound to a device as soon as its parameters are. Fresh state that is not would have every
    step compiled twice: for the first chunk, and for all others.
    """
    devices = {d for leaf in jax.tree.leaves(params) if isinstance(leaf, jax.Array) for d in leaf.devices()}
    if len(devices) > 1:
        return state
    return jax.device_put(state, devices.pop() if devices else jax.devices()[0])


@functools.partial(jax.jit, static_argnames="backbone", donate_argnames="decoder")
@jax.named_scope("decode")
def _decode(params: Any, latents: jax.Array, decoder: Any, *, backbone: Backbone) -> tuple[jax.Array, Any]:
    return backbone.decode(params, latents, decoder)


def _wait(chunk: _InFlight, layout: Layout, *, lag: int, earliest: float) -> Chunk:
    """Wait for a chunk, and say what it cost."""
    frames = None if chunk.pixels is None else np.asarray(chunk.pixels)
    jax.block_until_ready(chunk.generated)
    retrieved = _retrieved(chunk.generated.picks, layout.worlds)
    return Chunk(
        index=chunk.index,
        latents=chunk.generated.latents,
        frames=frames,
        retrieved=retrieved,
        attended_tokens=attended_tokens(layout, max(0, chunk.index - lag), found=retrieved.shape[1]),
        kv_bytes=bytes_by_tier(layout, chunk.index + 1 - lag),
        seconds=time.perf_counter() - max(chunk.since, earliest),
    )


def _retrieved(picks: Picks | None, worlds: int) -> np.ndarray:
    if picks is None:
        return np.zeros((worlds, 0), np.int32)
    chunks, count = jax.device_get((picks.chunks, picks.count))
    return chunks[:, :count]


def _status(chunk: Chunk, latent_frames: int) -> str:
    frames = latent_frames if chunk.frames is None else chunk.frames.shape[1]
    sizes = ", ".join(f"{format_bytes(size)} KV in {tier}" for tier, size in chunk.kv_bytes.items())
    return f"{frames / chunk.seconds:.1f} fps, {sizes}"
