"""The bank in the device's own memory: one array, written in place when donated."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from worldkv_jax.memory.bank import Fetched
from worldkv_jax.memory.digest import Digest, Finished, digest
from worldkv_jax.memory.in_place import overwrite
from worldkv_jax.memory.index import Index, Picks, empty_index, place, write_index
from worldkv_jax.memory.layout import BankLayout, WindowLayout
from worldkv_jax.memory.quantization import stored_shape
from worldkv_jax.memory.rule_arrays import RuleArrays
from worldkv_jax.memory.spans import KVSpan
from worldkv_jax.memory.untouched import zeros
from worldkv_jax.memory.window import Window


class DeviceBank(flax.struct.PyTreeNode):
    """A `Bank` that passes through jit."""

    index: Index
    slots: KVSpan  # [C, L, B, P, N, H], as `quantize` makes them
    layout: BankLayout = flax.struct.field(pytree_node=False)

    jittable = True

    @classmethod
    def empty(cls, layout: BankLayout) -> "DeviceBank":
        """Make a bank that holds nothing; its memory is taken at once, of a CPU as it fills."""
        shape = (layout.capacity, *layout.spec.shape(layout.worlds, layout.stored_tokens))
        slots = stored_shape(shape, layout.config.storage, layout.spec.dtype)
        slots = jax.tree.map(lambda slot: zeros(slot.shape, slot.dtype), slots)
        return cls(empty_index(layout), slots, layout)

    def fetch(self, picks: Picks, window: Window, *, known: Fetched | None = None) -> Fetched:
        """Gather the picked chunks as they are stored."""
        return Fetched(picks, _gather(self.slots, picks.slots))

    def store(self, window: Window, finished: Finished, layout: WindowLayout) -> tuple[Window, "DeviceBank"]:
        """Roll the window and write the chunk over its slot."""
        window, made, complete = digest(window, finished, window_layout=layout, bank_layout=self.layout)
        number = self.layout.spec.stored(finished.chunk)
        index, slots = _write(self.index, self.slots, number, made, complete, self.layout, finished.rules)
        return window, self.replace(index=index, slots=slots)

    def padded(self) -> "DeviceBank":
        """Return the bank itself: its buffers have their full size from the start."""
        return self

    def unpadded(self, chunk: int) -> "DeviceBank":
        """Return the bank itself."""
        return self

    def map_consumed(self, apply: Callable[[Any], Any]) -> "DeviceBank":
        """Apply a function to everything: the array of all chunks is written in place."""
        return self.replace(index=apply(self.index), slots=apply(self.slots))

    def read(self, slot: int) -> tuple[KVSpan, ...]:
        """Return one slot's chunk, a span ``[L, P, N, H]`` for each world."""
        worlds = range(self.layout.worlds)
        return tuple(jax.tree.map(lambda slots: slots[slot, :, b], self.slots) for b in worlds)  # noqa: B023

    def newest(self) -> tuple[jax.Array, tuple[KVSpan, ...]]:
        """Return number and content of the chunk that was stored last; content is copied."""
        return _newest(self.index.chunks, self.slots)

    def filled(
        self, index: Index, chunks: Mapping[int, tuple[KVSpan, ...]], window: Window, offered: int
    ) -> "DeviceBank":
        """Return a bank with these chunks in these slots; consumes this one."""
        slots = self.slots
        for slot, spans in chunks.items():
            slots = _write_slot(slots, jnp.int32(slot), spans)
        return self.replace(index=index, slots=slots)


# Both are one program outside of jit as well.
@functools.partial(jax.jit, inline=True)
def _gather(slots: KVSpan, picked: jax.Array) -> KVSpan:
    def one_world(world: jax.Array, picked: jax.Array) -> jax.Array:
        return jnp.moveaxis(world[picked], 0, 1)  # [C, L, P, N, H] -> [L, K, P, N, H]

    return jax.tree.map(lambda slots: jax.vmap(one_world, in_axes=(2, 0), out_axes=1)(slots, picked), slots)


@functools.partial(jax.jit, static_argnames="layout", inline=True)
def _write(
    index: Index,
    slots: KVSpan,
    number: jax.Array,
    made: Digest,
    complete: jax.Array | bool,
    layout: BankLayout,
    rules: RuleArrays,
) -> tuple[Index, KVSpan]:
    slot, stored = place(index, number, made.description, layout, rules)
    stored &= complete
    slots = jax.tree.map(lambda slots, new: overwrite(slots, new[None], slot, stored, axis=0), slots, made.span)
    return write_index(index, slot, stored, number, made.description), slots


@jax.jit
def _newest(chunks: jax.Array, slots: KVSpan) -> tuple[jax.Array, tuple[KVSpan, ...]]:
    slot = jnp.argmax(chunks)
    span = jax.tree.map(lambda a: jax.lax.dynamic_index_in_dim(a, slot, keepdims=False), slots)
    worlds = range(jax.tree.leaves(span)[0].shape[1])
    return chunks[slot], tuple(jax.tree.map(lambda a: a[:, b], span) for b in worlds)  # noqa: B023


@functools.partial(jax.jit, donate_argnames="slots")
def _write_slot(slots: KVSpan, slot: jax.Array, spans: tuple[KVSpan, ...]) -> KVSpan:
    chunk = jax.tree.map(lambda *worlds: jnp.stack(worlds, axis=1), *spans)
    return jax.tree.map(lambda a, new: jax.lax.dynamic_update_slice_in_dim(a, new[None], slot, 0), slots, chunk)
