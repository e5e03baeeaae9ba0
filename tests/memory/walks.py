"""Tiny memories for tests: values say which token they are, so that a context tells what it holds."""

import dataclasses
import functools
from typing import NamedTuple

import jax
import numpy as np

from worldkv_jax import memory as wm
from worldkv_jax.cameras import pose_from_angles
from worldkv_jax.rope import Rope

FRAMES, TOKENS = 3, 4
SPEC = wm.KVSpec(layers=2, heads=2, head_dim=8, tokens_per_frame=TOKENS, rope=Rope(head_dim=8))
EVERYTHING = wm.CompressionConfig(keep_ratio=1.0)

recall = jax.jit(wm.recall)
remember = jax.jit(wm.remember, donate_argnums=0)
join = jax.jit(lambda context: context.span)


class Step(NamedTuple):
    """What one chunk was given."""

    chunk: int
    context: wm.Context
    picks: wm.Picks | None
    memory: wm.WorldMemory  # after the chunk


def worldkv(*, chunks=2, rule="camera", compression=EVERYTHING, capacity=None, **others) -> wm.MemoryConfig:
    """A WorldKV configuration that keeps whole chunks unless told otherwise."""
    names = {field.name for field in dataclasses.fields(wm.RetrievalConfig)}
    retrieval = {name: others.pop(name) for name in list(others) if name in names}
    bank = {name: others.pop(name) for name in list(others) if name in ("tier", "storage", "when_full")}
    return wm.MemoryConfig(
        retrieval=wm.RetrievalConfig(chunks=chunks, rule=rule, **retrieval),
        compression=compression,
        bank=wm.BankConfig(capacity=capacity, **bank),
        **others,
    )


def poses(chunks: int, *, worlds: int = 1, seed: int = 0) -> np.ndarray:
    """Random cameras ``[chunks, worlds, F, 4, 4]`` that turn and walk."""
    rng = np.random.default_rng(seed)
    frames = chunks * FRAMES
    paths = [
        pose_from_angles(rng.uniform(-180, 180) + np.cumsum(rng.normal(size=frames) * 20), np.zeros(frames), walk)
        for walk in np.cumsum(rng.normal(size=(worlds, frames, 3)), axis=1)
    ]
    stacked = np.stack(paths).astype(np.float32)
    return np.moveaxis(stacked.reshape(worlds, chunks, FRAMES, 4, 4), 1, 0)


def still(yaw: float, position=(0.0, 0.0, 0.0)) -> jax.Array:
    """A chunk of one world whose camera stands still: ``[1, F, 4, 4]``."""
    pose = pose_from_angles(yaw, 0.0, position)
    return jax.device_put(np.broadcast_to(pose, (1, FRAMES, 4, 4)).astype(np.float32))


@functools.lru_cache(maxsize=64)
def span(chunk: int, worlds: int = 1, spec: wm.KVSpec = SPEC) -> wm.KVSpan:
    """Random keys, and values that hold the number of their token since the beginning of the world."""
    shape = spec.shape(1, spec.chunk_tokens)
    world = [np.random.default_rng((b, chunk)).standard_normal(shape, np.float32) for b in range(worlds)]
    number = np.arange(chunk * spec.chunk_tokens, (chunk + 1) * spec.chunk_tokens, dtype=np.float32)
    values = np.broadcast_to(number[:, None, None], spec.shape(worlds, spec.chunk_tokens))
    return jax.device_put(wm.KVSpan(np.concatenate(world, axis=1), values))


def walk(config: wm.MemoryConfig, chunks: int, *, worlds=1, spec=SPEC, cameras=None, length=None):
    """Recall and remember chunk by chunk; yields a `Step` each, whose context is joined and lies on the host."""
    memory = wm.WorldMemory.create(config, spec, worlds=worlds, chunks=chunks if length is None else length)
    inside = memory.jittable
    cameras = poses(chunks, worlds=worlds) if cameras is None else cameras
    for chunk in range(chunks):
        view, own = jax.device_put(cameras[chunk]), span(chunk, worlds, spec)
        query = jax.device_put(np.asarray(own.keys).mean(axis=2))
        context, picks = (recall if inside else wm.recall)(memory, view, query=query)
        context = context._replace(parts=(jax.tree.map(np.asarray, join(context)),))
        memory = (remember if inside else wm.remember)(memory, own, view)
        yield Step(chunk, context, picks, memory)


def tokens_in(context: wm.Context, layer: int = 0, world: int = 0) -> list[int]:
    """Sorted numbers of the tokens in the valid rows."""
    values = np.asarray(context.span.values)[layer, world, : int(context.length), 0, 0]
    return sorted(values.astype(int).tolist())


def tokens_of(frames, spec: wm.KVSpec = SPEC) -> list[int]:
    """Sorted numbers of the tokens of some frames."""
    size = spec.tokens_per_frame
    return sorted(t for frame in frames for t in range(frame * size, (frame + 1) * size))


def picked(picks: wm.Picks, world: int = 0) -> list[int]:
    """Ids of the chunks that were found, nearest first."""
    return np.asarray(picks.chunks)[world, : int(picks.count)].tolist()
