"""Worlds that have come far, without the way there: memories filled with random keys and values.

What a chunk costs depends on how much the memory holds and not on what. Every chunk has the keys and values of one
random chunk; cameras are random and all different.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from worldkv_jax.benchmarks.views import random_cameras
from worldkv_jax.memory import KVSpan, WorldMemory
from worldkv_jax.memory.device_bank import DeviceBank
from worldkv_jax.memory.index import Index, describe_chunk
from worldkv_jax.memory.layout import BankLayout, Layout, WindowLayout
from worldkv_jax.memory.quantization import quantize
from worldkv_jax.memory.slot_bank import SlotBank, tier_sharding, world_sharding
from worldkv_jax.memory.window import Window
from worldkv_jax.rollout.stream import place_like


def distant_memory(layout: Layout, seen: int, *, params: Any, seed: int = 0) -> WorldMemory:
    """Make the memory of a rollout that has made ``seen`` chunks, on the device of the parameters.

    A bank in host memory really holds as many chunks as are retrieved at once; its other slots refer to the same ones.
    """
    rng = np.random.default_rng(seed)
    own, counter = place_like(params, (random_span(layout, seed), jnp.int32(seen)))
    window = _window(own, layout.window)
    if layout.bank is None:
        return WorldMemory(window, None, counter, layout)
    bank, frames = layout.bank, layout.spec.chunk_frames
    cameras = random_cameras(rng, bank.capacity * layout.worlds, frames)
    cameras = cameras.reshape(bank.capacity, layout.worlds, frames, 4, 4)
    index, packed = _parts(own, cameras, _chunk_ids(bank, seen), bank)
    if bank.config.tier == "device":
        filled = DeviceBank(index, _repeat(packed, bank.capacity), bank)
    else:
        latest = (seen - 1 - bank.first_stored) % bank.capacity if seen > bank.first_stored else None
        filled = SlotBank(index, _host_slots(packed, bank, seen), seen, bank, latest)
    return WorldMemory(window, filled, counter, layout)


def random_span(layout: Layout, seed: int = 0) -> KVSpan:
    """Draw keys and values ``[L, B, T, N, H]`` of one chunk; the values are the keys with the sign changed."""
    shape = layout.spec.shape(layout.worlds, layout.spec.chunk_tokens)
    return _draw(jax.random.key(seed), shape, layout.spec.dtype)


def pack_chunk(own: KVSpan, layout: BankLayout) -> KVSpan:
    """Make of a chunk ``[L, B, T, N, H]`` what the bank stores; which tokens stay does not matter here."""
    first = jax.tree.map(lambda a: a[:, :, : layout.stored_tokens], own)
    return quantize(first, layout.config.storage, layout.spec.dtype)


@functools.partial(jax.jit, static_argnums=(1, 2))
def _draw(key, shape, dtype) -> KVSpan:
    keys = jax.random.normal(key, shape, dtype)
    return KVSpan(keys, -keys)


def _chunk_ids(layout: BankLayout, seen: int) -> np.ndarray:
    """Say which chunk lies in which slot of a bank that drops its oldest when it is full."""
    stored = np.arange(max(0, seen - layout.first_stored))[-layout.capacity :]
    ids = np.full(layout.capacity, -1, np.int32)
    ids[stored % layout.capacity] = stored + layout.first_stored
    return ids


@functools.partial(jax.jit, static_argnames="layout")
def _parts(own, cameras, ids, layout: BankLayout) -> tuple[Index, KVSpan]:
    descriptions = jax.vmap(lambda views: describe_chunk(views, own.keys, layout))(cameras)
    return Index(descriptions, ids), pack_chunk(own, layout)


@functools.partial(jax.jit, static_argnames="layout")
def _window(own: KVSpan, layout: WindowLayout) -> Window:
    def fill(frames):
        tokens = frames * layout.spec.tokens_per_frame
        times = -(-tokens // layout.spec.chunk_tokens)
        return jax.tree.map(lambda a: jnp.tile(a, (1, 1, times, 1, 1))[:, :, :tokens], own)

    return Window(fill(layout.sink_frames), fill(layout.ring_frames))


@functools.partial(jax.jit, static_argnames="times")
def _repeat(packed: KVSpan, times: int) -> KVSpan:
    return jax.tree.map(lambda a: jnp.broadcast_to(a, (times, *a.shape)), packed)


def _host_slots(packed: KVSpan, layout: BankLayout, seen: int) -> tuple:
    target = tier_sharding(world_sharding(jax.tree.leaves(packed)[0]), layout.config.tier)
    worlds = [jax.tree.map(lambda a: a[:, b], packed) for b in range(layout.worlds)]  # noqa: B023
    copies = [tuple(jax.device_put(world, target) for world in worlds) for _ in range(layout.retrieval.chunks)]
    stored = _chunk_ids(layout, seen) >= 0
    return tuple(copies[slot % len(copies)] if filled else None for slot, filled in enumerate(stored))
