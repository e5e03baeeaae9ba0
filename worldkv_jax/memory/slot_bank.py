"""The bank of separate arrays, one per chunk: on the device or in host memory, never seen by jit."""

import copy
import functools
from collections.abc import Callable, Mapping
from typing import Any

import flax.struct
import jax
import numpy as np
from jax.core import Tracer
from jax.sharding import NamedSharding, PartitionSpec, SingleDeviceSharding

from worldkv_jax.memory.bank import Fetched
from worldkv_jax.memory.digest import Finished, advance, digest
from worldkv_jax.memory.index import Index, Picks, empty_index, place, write_index
from worldkv_jax.memory.layout import BankLayout, WindowLayout
from worldkv_jax.memory.spans import KVSpan
from worldkv_jax.memory.window import Window


class SlotBank(flax.struct.PyTreeNode):
    """A `Bank` whose chunks are never written again, in pinned or plain host memory or on the device.

    Storing a chunk never copies another one, and a pick moves alone, so a move overlaps with the model's work. Worlds
    that were forked share their chunks, and the last one that drops a chunk frees it.
    """

    index: Index
    slots: tuple[tuple[KVSpan, ...] | None, ...]  # C x B spans [L, P, N, H], as `quantize` makes them; None where empty
    offered: int = flax.struct.field(pytree_node=False)
    """Chunks that the model made so far, known on the host so that storing need not wait."""
    layout: BankLayout = flax.struct.field(pytree_node=False)
    latest: int | None = flax.struct.field(pytree_node=False, default=None)
    """Slot of the chunk that was offered last, if it found one."""

    jittable = False

    @classmethod
    def empty(cls, layout: BankLayout) -> "SlotBank":
        """Make a bank that holds nothing; memory is only taken as chunks arrive."""
        tier_sharding(SingleDeviceSharding(jax.devices()[0]), layout.config.tier)  # raises for lack of the tier
        return cls(empty_index(layout), (None,) * layout.capacity, 0, layout)

    def fetch(self, picks: Picks, window: Window, *, known: Fetched | None = None) -> Fetched:
        """Begin to move the picked chunks to the device, or to the split of heads, of the window.

        Waits for the few bytes of the picks; the chunks themselves move while the caller goes on. On a GPU a move
        waits for the programs given to it before, because it may get their memory, and for none given later.
        """
        _check_not_traced(picks, self.layout)
        target = world_sharding(window.ring.keys)
        slots, chunks, count = jax.device_get((picks.slots, picks.chunks, picks.count))
        here = {} if known is None else _by_chunk(known)
        blank = None
        spans = []
        for b in range(self.layout.worlds):
            for rank, slot in enumerate(slots[b]):
                if rank < count:
                    span = here.get((b, int(chunks[b, rank])))
                    spans.append(jax.device_put(self.slots[slot][b], target) if span is None else span)
                    continue
                if blank is None:
                    blank = jax.device_put(
                        jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), self.layout.stored_chunk), target
                    )
                spans.append(blank)
        return Fetched(picks, tuple(spans))

    def store(self, window: Window, finished: Finished, layout: WindowLayout) -> tuple[Window, "SlotBank"]:
        """Roll the window and begin to move the chunk to its tier; the copy runs on while the caller goes on."""
        _check_not_traced((finished.own, finished.chunk), self.layout)
        self._check_count(finished.chunk)
        offered = self.offered + 1
        if offered % self.layout.spec.store_every:  # waits for more frames
            return _advance(window, finished, window_layout=layout), self.replace(offered=offered)
        window, made, number = _digest(window, finished, window_layout=layout, bank_layout=self.layout)
        slot, stored = _place(self.index, number, made.description, self.layout, finished.rules)
        index = _write_index(self.index, slot, stored, number, made.description)
        where = self._known_slot(slot, stored)
        slots = self.slots
        if where is not None:
            target = tier_sharding(world_sharding(jax.tree.leaves(made.span)[0]), self.layout.config.tier)
            worlds = tuple(
                jax.device_put(_world(made.span, jax.device_put(np.int32(b))), target)
                for b in range(self.layout.worlds)
            )
            slots = (*slots[:where], worlds, *slots[where + 1 :])
        return window, self.replace(index=index, slots=slots, offered=offered, latest=where)

    def padded(self) -> "SlotBank":
        """Fill the empty slots with zeros, one array that all of them share; on disk they compress to nothing."""
        target = tier_sharding(SingleDeviceSharding(_device(self.index.chunks)), self.layout.config.tier)
        blank = jax.tree.map(lambda x: jax.device_put(np.zeros(x.shape, x.dtype), target), self.layout.stored_chunk)
        empty = (blank,) * self.layout.worlds
        return self.replace(slots=tuple(empty if slot is None else slot for slot in self.slots))

    def unpadded(self, chunk: int) -> "SlotBank":
        """Empty the slots that hold no chunk again."""
        used = np.asarray(self.index.chunks) >= 0
        return self.replace(slots=tuple(slot if u else None for slot, u in zip(self.slots, used)), offered=chunk)

    def map_consumed(self, apply: Callable[[Any], Any]) -> "SlotBank":
        """Apply a function to the index: stored chunks are never written again."""
        return self.replace(index=apply(self.index))

    def read(self, slot: int) -> tuple[KVSpan, ...]:
        """Return one slot's chunk, a span ``[L, P, N, H]`` for each world."""
        spans = self.slots[slot]
        assert spans is not None, "only slots of the index hold chunks"
        return spans

    def newest(self) -> tuple[int, tuple[KVSpan, ...]] | None:
        """Return number and content of the chunk that was offered last, if it found a slot."""
        number = self.offered // self.layout.spec.store_every - 1
        return None if self.latest is None else (number, self.read(self.latest))

    def filled(
        self, index: Index, chunks: Mapping[int, tuple[KVSpan, ...]], window: Window, offered: int
    ) -> "SlotBank":
        """Return a bank with these chunks in these slots."""
        target = tier_sharding(world_sharding(window.ring.keys), self.layout.config.tier)
        slots = tuple(
            jax.device_put(chunks[slot], target) if slot in chunks else None for slot in range(self.layout.capacity)
        )
        return self.replace(index=index, slots=slots, offered=offered)

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the chunks as NumPy arrays: JAX would bring them back into the device's memory, all at once."""
        slots = jax.tree.map(lambda x: np.asarray(x) if isinstance(x, jax.Array) else x, self.slots)
        return {**vars(self), "slots": slots}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Bring each chunk back to the memory of its tier, on the device where the index is."""
        target = tier_sharding(SingleDeviceSharding(_device(state["index"].chunks)), state["layout"].config.tier)
        place = lambda x: jax.device_put(x, target) if isinstance(x, np.ndarray) else x  # noqa: E731
        vars(self).update({**state, "slots": jax.tree.map(place, state["slots"])})

    def __deepcopy__(self, memo: dict[int, Any]) -> "SlotBank":
        """Copy every array where it is."""
        return jax.tree.map(lambda x: copy.deepcopy(x, memo), self)

    def _check_count(self, chunk: jax.Array) -> None:
        """Raise ValueError where the memory has made other chunks than the bank counts, and would name wrong slots.

        What is restored into the shapes of an empty memory has that one's count until `unpadded`.
        """
        if chunk.is_fully_replicated and (made := int(jax.device_get(chunk))) != self.offered:
            raise ValueError(
                f"the memory has {made} chunks and its bank counts {self.offered}: it was read from disk and is still "
                "as it was saved; call from_saved() on it first"
            )

    def _known_slot(self, slot: jax.Array, stored: jax.Array) -> int | None:
        """Know the slot without asking the device, wherever the policy allows."""
        number = self.offered // self.layout.spec.store_every
        order, capacity = number - self.layout.first_stored, self.layout.capacity
        policy = self.layout.config.when_full
        if order < 0:
            return None
        if order < capacity:
            return order
        if policy == "drop_oldest":
            return order % capacity
        if policy == "error":
            return None
        where, stored = jax.device_get((slot, stored))
        return int(where) if stored else None


def tier_sharding(device_sharding: jax.sharding.Sharding, tier: str) -> jax.sharding.Sharding:
    """Return where a tier lies for arrays of a device, or for arrays split over several.

    Raises:
        ValueError: the device has no pinned host memory.
    """
    if tier == "device_slots":
        return device_sharding
    if tier == "host":
        return SingleDeviceSharding(jax.devices("cpu")[0])
    device = next(iter(device_sharding.device_set))
    kinds = {memory.kind for memory in device.addressable_memories()}
    if "pinned_host" not in kinds:
        raise ValueError(f"{device} has no pinned_host memory (it has {sorted(kinds)}); use tier='host'")
    return device_sharding.with_memory_kind("pinned_host")


def world_sharding(keys: jax.Array) -> jax.sharding.Sharding:
    """Where one world's slice of ``keys [L, B, tokens, N, H]`` lies: the same device, or the same split of heads."""
    sharding = keys.sharding
    if isinstance(sharding, NamedSharding):
        layers, _, _, heads, dims = (*sharding.spec, *[None] * (keys.ndim - len(sharding.spec)))
        return NamedSharding(sharding.mesh, PartitionSpec(layers, None, heads, dims))
    if isinstance(sharding, SingleDeviceSharding):
        return sharding
    return SingleDeviceSharding(next(iter(sharding.device_set)))


def _device(array: jax.Array) -> Any:  # a jax.Device, which JAX itself does not type
    return next(iter(array.sharding.device_set))


def _by_chunk(fetched: Fetched) -> dict[tuple[int, int], KVSpan]:
    """Name what was brought by world and chunk id; a chunk's slot may have changed hands since."""
    chunks, count = jax.device_get((fetched.picks.chunks, fetched.picks.count))
    ranks = chunks.shape[1]
    return {
        (b, int(chunk)): fetched.spans[b * ranks + rank]
        for b, row in enumerate(chunks)
        for rank, chunk in enumerate(row[:count])
    }


def _check_not_traced(given: Any, layout: BankLayout) -> None:
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(given)):
        raise ValueError(
            f"bank.tier={layout.config.tier!r} moves or shares arrays, which jit, vmap and grad cannot: "
            "call recall and remember outside of them, or use tier='device'"
        )


@jax.jit
def _world(span: KVSpan, b: jax.Array) -> KVSpan:
    return jax.tree.map(lambda a: jax.lax.dynamic_index_in_dim(a, b, axis=1, keepdims=False), span)


@functools.partial(jax.jit, static_argnames=("window_layout", "bank_layout"), donate_argnames="window")
def _digest(window: Window, finished: Finished, *, window_layout: WindowLayout, bank_layout: BankLayout) -> Any:
    window, made, _ = digest(window, finished, window_layout=window_layout, bank_layout=bank_layout)
    return window, made, bank_layout.spec.stored(finished.chunk)


_advance = jax.jit(advance, static_argnames="window_layout", donate_argnames="window")
_place = jax.jit(place, static_argnames="layout")
_write_index = jax.jit(write_index, donate_argnames="index")
