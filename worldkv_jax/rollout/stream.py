"""Rollouts: start from nothing or from a given video, then generate chunk by chunk."""

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

from worldkv_jax.cameras import validate_poses
from worldkv_jax.memory import (
    KVSpec,
    MemoryConfig,
    WorldMemory,
    attended_tokens,
    bytes_by_tier,
    check_room,
    format_bytes,
    prefetch,
)
from worldkv_jax.rollout.backbone import Backbone, ChunkInput
from worldkv_jax.rollout.chunk_step import World, generate_chunk, observe_chunk

Noise = Callable[[int], jax.Array]
"""Gives chunk number ``i`` its noise ``[steps, B, *latent_shape]``."""


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
    """From asking for the chunk until its frames were there; the first one includes compilation."""


def chunk_inputs(poses: np.ndarray, spec: KVSpec, *, conditions: Sequence[Any] | None = None) -> list[ChunkInput]:
    """Cut a camera path into chunks.

    Args:
        poses: ``[n, 4, 4]`` or ``[B, n, 4, 4]`` camera-to-world poses of latent frames, OpenCV axes.
        spec: of the backbone.
        conditions: what else each chunk is given, one pytree a chunk.

    Raises:
        ValueError: poses that are not rigid or finite, fewer frames than a chunk, frames that do not fill
            the last chunk, or another number of conditions.
    """
    poses = np.asarray(poses)
    poses = poses[None] if poses.ndim == 3 else poses
    if poses.ndim != 4 or not len(poses):
        raise ValueError(f"poses have shape {poses.shape}; expected [n, 4, 4] or [worlds, n, 4, 4]")
    poses = np.stack([validate_poses(world, name=f"poses of world {b}") for b, world in enumerate(poses)])
    frames, size = poses.shape[1], spec.chunk_frames
    if frames < size:
        raise ValueError(f"a trajectory of {frames} latent frames is shorter than one chunk; give at least {size}")
    if frames % size:
        raise ValueError(
            f"{frames} latent frames do not fill chunks of {size}; cut the trajectory to {frames // size * size} "
            f"or hold the last pose up to {-(-frames // size) * size}"
        )
    count = frames // size
    if conditions is not None and len(conditions) != count:
        raise ValueError(f"got conditions for {len(conditions)} chunks, but the trajectory has {count}")
    cameras = jnp.asarray(poses, jnp.float32).reshape(poses.shape[0], count, size, 4, 4)
    return [ChunkInput(cameras[:, i], None if conditions is None else conditions[i]) for i in range(count)]


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
        The world, on the device that holds the parameters. Parameters split over several devices leave it where
        jit puts it: place it with ``jax.device_put`` to have its heads split too.
    """
    memory = WorldMemory.create(config, backbone.spec, worlds=worlds, chunks=chunks)
    return _beside(params, World(memory, backbone.init_carry(params, worlds), jnp.int32(0)))


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
    chunks = _as_list(chunks)
    if len(chunks) != len(latents):
        raise ValueError(f"got {len(chunks)} chunks of cameras but {len(latents)} of latents")
    _check_chunks(world, chunks, int(world.position))
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
) -> Generator[Chunk, None, World]:
    """Generate chunk by chunk, yielding each as soon as it is there.

    Give a list of chunks where the cameras are known ahead: it is checked as a whole before anything is made,
    and with a host tier the next chunk's picks move to the device while this one is generated. Give a generator
    where they come live, one at a time. To save a long rollout on the way, stream it in parts: the world that one
    part returns is where the next goes on, decoder included.

    Args:
        backbone: the model.
        params: its parameters.
        world: the state to go on from; it is consumed.
        chunks: cameras and conditions of what to generate.
        key: typed random key; the same key and inputs give the same world.
        noise: noise of each chunk, instead of a key.
        decode: also decode the frames.
        progress: show a bar with frames a second and the bytes of keys and values.

    Yields:
        Each chunk.

    Returns:
        The world after the last chunk (the generator's return value).

    Raises:
        ValueError: neither or both of key and noise; cameras of another shape, or not rigid or finite; a memory
            without room that may not drop. Raised before the chunk is made; a list is checked before the first.
    """
    if (key is None) == (noise is None):
        raise ValueError("give either key or noise: exactly one of them decides the world")
    noise = noise or _noise_from_key(key, backbone, world.memory.layout.worlds)
    layout, first, lag = world.memory.layout, int(world.position), getattr(backbone, "lag", 0)
    ahead = _as_list(chunks) if isinstance(chunks, Sequence) else None
    if ahead is not None:
        _check_chunks(world, ahead, first)
    look_ahead = ahead is not None and not world.memory.on_device
    decoder, world = world.decoder, world._replace(decoder=None)
    if decode and decoder is None:
        decoder = _beside(params, backbone.init_decoder(params, layout.worlds))
    bar = tqdm(total=len(ahead) if ahead is not None else None, unit="chunk", disable=not progress)
    fetched = None
    with bar:
        for i, chunk in enumerate(chunks):
            index, since = first + i, time.perf_counter()
            if ahead is None:
                _check_chunks(world, [chunk], index)
            if progress and i == 0:
                tqdm.write(f"compiling the chunk step of {type(backbone).__name__} ...", file=sys.stderr)
            following = None
            if look_ahead and i + 1 < len(ahead):
                following = prefetch(world.memory, ahead[i + 1].cameras)
            made, world = generate_chunk(backbone, params, world, chunk, noise(index), fetched=fetched)
            fetched, frames = following, None
            if decode:
                pixels, decoder = _decode(params, made.latents, decoder, backbone=backbone)
                frames = np.asarray(pixels)
            jax.block_until_ready(made)
            retrieved = _retrieved(made.picks, layout.worlds)
            seconds = time.perf_counter() - since
            result = Chunk(
                index=index,
                latents=made.latents,
                frames=frames,
                retrieved=retrieved,
                attended_tokens=attended_tokens(layout, max(0, index - lag), found=retrieved.shape[1]),
                kv_bytes=bytes_by_tier(layout, index + 1 - lag),
                seconds=seconds,
            )
            bar.update()
            bar.set_postfix_str(_status(result, backbone.spec.chunk_frames))
            yield result
    return world._replace(decoder=decoder)


def rollout(
    backbone: Backbone, params: Any, world: World, chunks: Iterable[ChunkInput], **options: Any
) -> tuple[list[Chunk], World]:
    """Collect what `stream` yields, and the world after it; takes the options of `stream`."""
    made, generation = [], stream(backbone, params, world, chunks, **options)
    while True:
        try:
            made.append(next(generation))
        except StopIteration as end:
            return made, end.value


def _beside(params: Any, state: Any) -> Any:
    """Bind fresh state to the device that holds the parameters.

    What jit returns is bound to a device as soon as its parameters are. Fresh state that is not would have every
    step compiled twice: for the first chunk, and for all others.
    """
    devices = {d for leaf in jax.tree.leaves(params) if isinstance(leaf, jax.Array) for d in leaf.devices()}
    if len(devices) > 1:
        return state
    return jax.device_put(state, devices.pop() if devices else jax.devices()[0])


def _as_list(chunks: Sequence[ChunkInput]) -> list[ChunkInput]:
    if isinstance(chunks, ChunkInput):  # is a sequence itself
        raise ValueError("got one ChunkInput; give a list of them, such as chunk_inputs(poses, backbone.spec)")
    return list(chunks)


def _check_chunks(world: World, chunks: list[ChunkInput], first: int) -> None:
    """Check that chunks can be made, on the host, where errors can be raised."""
    layout = world.memory.layout
    expected = (layout.worlds, layout.spec.chunk_frames, 4, 4)
    for index, chunk in enumerate(chunks, first):
        check_room(layout, index)
        cameras = np.asarray(chunk.cameras)
        if cameras.shape != expected:
            raise ValueError(
                f"cameras of chunk {index} have shape {cameras.shape}, expected {expected}: [worlds, frames of a "
                "chunk, 4, 4]; chunk_inputs cuts a path into chunks"
            )
        for b, poses in enumerate(cameras):
            validate_poses(poses, name=f"cameras of chunk {index}, world {b}")


def _noise_from_key(key: jax.Array, backbone: Backbone, worlds: int) -> Noise:
    shape = (backbone.schedule.steps, worlds, *backbone.latent_shape)
    return lambda index: _normal(key, np.int32(index), shape)


@functools.partial(jax.jit, static_argnums=2)
def _normal(key, index, shape):
    return jax.random.normal(jax.random.fold_in(key, index), shape)


@functools.partial(jax.jit, static_argnames="backbone")
def _decode(params, latents, decoder, *, backbone: Backbone):
    return backbone.decode(params, latents, decoder)


def _retrieved(picks, worlds: int) -> np.ndarray:
    if picks is None:
        return np.zeros((worlds, 0), np.int32)
    chunks, count = jax.device_get((picks.chunks, picks.count))
    return chunks[:, :count]


def _status(chunk: Chunk, latent_frames: int) -> str:
    frames = latent_frames if chunk.frames is None else chunk.frames.shape[1]
    sizes = ", ".join(f"{format_bytes(size)} KV in {tier}" for tier, size in chunk.kv_bytes.items())
    return f"{frames / chunk.seconds:.1f} fps, {sizes}"
