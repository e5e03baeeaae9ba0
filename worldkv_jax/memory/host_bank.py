"""The bank in host memory: one array per chunk, moved by `device_put`, never seen by jit."""

from typing import NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec, SingleDeviceSharding

from worldkv_jax.memory.bank import Index, Picks, empty_index, place, write_index
from worldkv_jax.memory.layout import Layout
from worldkv_jax.memory.quantization import stored_shape
from worldkv_jax.memory.spans import KVSpan


@flax.struct.dataclass
class HostBank:
    """Bank in pinned or plain host memory; its index stays on the device.

    Storing a chunk never copies another one, and a pick moves alone, so a move overlaps with the model's work.
    """

    index: Index
    slots: tuple[tuple[KVSpan, ...] | None, ...]  # C x B packed spans [L, P, N, H] on the host; None where empty
    offered: int = flax.struct.field(pytree_node=False)
    """Chunks given to the bank so far, known on the host so that storing need not wait."""


class Arriving(NamedTuple):
    """Picked chunks on their way to the device, each an array of its own until `join`.

    Joining them takes the device's own time and has to wait for the last to arrive. A device runs programs in the order
    in which they were given, so to join them before the chunk ahead is generated would make that chunk wait as well.
    """

    picks: Picks
    spans: tuple[KVSpan, ...]  # B * K spans [L, P, N, H], world by world, nearest first


def empty_host_bank(layout: Layout) -> HostBank:
    """Make a host bank that holds nothing; host memory is only taken as chunks arrive."""
    host_sharding(SingleDeviceSharding(jax.devices()[0]), layout.config.bank.tier)  # raises for lack of the tier
    return HostBank(empty_index(layout), (None,) * layout.capacity, 0)


def host_sharding(device_sharding: jax.sharding.Sharding, tier: str) -> jax.sharding.Sharding:
    """Return where a tier lies for arrays of a device, or for arrays split over several.

    Raises:
        ValueError: the device has no pinned host memory.
    """
    if tier == "host":
        return SingleDeviceSharding(jax.devices("cpu")[0])
    device = next(iter(device_sharding.device_set))
    kinds = {memory.kind for memory in device.addressable_memories()}
    if "pinned_host" not in kinds:
        raise ValueError(f"{device} has no pinned_host memory (it has {sorted(kinds)}); use tier='host'")
    return device_sharding.with_memory_kind("pinned_host")


def store(bank: HostBank, span: KVSpan, chunk: jax.Array, description: jax.Array, layout: Layout) -> HostBank:
    """Store a pruned and packed chunk ``[L, B, P, N, H]``; the copy to the host runs on while the caller goes on."""
    slot, stored = _place(bank.index, chunk, description, layout)
    index = _write_index(bank.index, slot, stored, chunk, description)
    where = _host_slot(bank, slot, stored, layout)
    slots = bank.slots
    if where is not None:
        target = host_sharding(world_sharding(jax.tree.leaves(span)[0]), layout.config.bank.tier)
        worlds = tuple(jax.device_put(_world(span, b), target) for b in range(layout.worlds))
        slots = (*slots[:where], worlds, *slots[where + 1 :])
    return HostBank(index, slots, bank.offered + 1)


def fetch(
    bank: HostBank,
    picks: Picks,
    device: jax.sharding.Sharding,
    layout: Layout,
    *,
    arrived: Arriving | None = None,
) -> Arriving:
    """Begin to bring the picked chunks to the device.

    Waits for the few bytes of the picks; the chunks themselves move while the caller goes on. On a GPU a move waits
    for the programs given to it before, because it may get their memory, and for none given later.

    Args:
        bank: the bank.
        picks: what to bring.
        device: where one world's chunk ``[L, P, N, H]`` goes, see `world_sharding`.
        layout: static sizes.
        arrived: what was brought before; a chunk that is among it does not move again.
    """
    slots, chunks, count = jax.device_get((picks.slots, picks.chunks, picks.count))
    here = {} if arrived is None else _by_chunk(arrived)
    blank = None
    spans = []
    for b in range(layout.worlds):
        for rank, slot in enumerate(slots[b]):
            if rank < count:
                known = here.get((b, int(chunks[b, rank])))
                spans.append(jax.device_put(bank.slots[slot][b], device) if known is None else known)
                continue
            if blank is None:
                blank = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype, device=device), _shape(layout))
            spans.append(blank)
    return Arriving(picks, tuple(spans))


def join(arriving: Arriving, layout: Layout) -> KVSpan:
    """Join chunks that have arrived, as they are stored: ``[L, B, K, P, N, H]``."""

    def stack(*parts):  # B * K arrays [L, P, N, H], world by world
        ranks = len(parts) // layout.worlds
        by_world = [jnp.stack(parts[b * ranks : (b + 1) * ranks], axis=1) for b in range(layout.worlds)]
        return jnp.stack(by_world, axis=1)

    return jax.tree.map(stack, *arriving.spans)


def to_saved(bank: HostBank, layout: Layout) -> HostBank:
    """Fill the empty slots with zeros, so that every bank of a layout has the same arrays.

    The zeros are one array that all empty slots share; on disk they compress to nothing.
    """
    tier = layout.config.bank.tier
    target = host_sharding(SingleDeviceSharding(next(iter(bank.index.chunks.sharding.device_set))), tier)
    blank = jax.tree.map(lambda leaf: jax.device_put(np.zeros(leaf.shape, leaf.dtype), target), _shape(layout))
    empty = (blank,) * layout.worlds
    return bank.replace(slots=tuple(empty if slot is None else slot for slot in bank.slots))


def from_saved(saved: HostBank, chunk: int) -> HostBank:
    """Empty the slots that hold no chunk again; ``chunk`` is how many were offered."""
    used = np.asarray(saved.index.chunks) >= 0
    return saved.replace(slots=tuple(slot if u else None for slot, u in zip(saved.slots, used)), offered=chunk)


def _shape(layout: Layout) -> KVSpan:
    """Describe what is stored of one world's chunk."""
    spec = layout.spec
    shape = (spec.layers, layout.stored_tokens, spec.heads, spec.head_dim)
    return stored_shape(shape, layout.config.bank.storage, spec.dtype)


def _host_slot(bank: HostBank, slot: jax.Array, stored: jax.Array, layout: Layout) -> int | None:
    """Know the slot without asking the device, wherever the policy allows."""
    order = bank.offered - layout.first_stored
    if order < 0:
        return None
    if order < layout.capacity:
        return order
    policy = layout.config.bank.when_full
    if policy == "drop_oldest":
        return order % layout.capacity
    if policy == "error":
        return None
    where, stored = jax.device_get((slot, stored))
    return int(where) if stored else None


_place = jax.jit(place, static_argnames="layout")
_write_index = jax.jit(write_index, donate_argnums=0)


def world_sharding(keys: jax.Array) -> jax.sharding.Sharding:
    """Where one world's slice of ``keys [L, B, tokens, N, H]`` lies: the same device, or the same split of heads."""
    sharding = keys.sharding
    if isinstance(sharding, NamedSharding):
        layers, _, _, heads, dims = (*sharding.spec, *[None] * (keys.ndim - len(sharding.spec)))
        return NamedSharding(sharding.mesh, PartitionSpec(layers, None, heads, dims))
    if isinstance(sharding, SingleDeviceSharding):
        return sharding
    return SingleDeviceSharding(next(iter(sharding.device_set)))


@jax.jit
def _take_world(span: KVSpan, b: jax.Array) -> KVSpan:
    return jax.tree.map(lambda a: jax.lax.dynamic_index_in_dim(a, b, axis=1, keepdims=False), span)


def _world(span: KVSpan, b: int) -> KVSpan:
    return _take_world(span, np.int32(b))


def _by_chunk(arrived: Arriving) -> dict[tuple[int, int], KVSpan]:
    """Name what was brought by world and chunk id; a chunk's slot may have changed hands since."""
    chunks, count = jax.device_get((arrived.picks.chunks, arrived.picks.count))
    ranks = chunks.shape[1]
    return {
        (b, int(chunk)): arrived.spans[b * ranks + rank]
        for b, row in enumerate(chunks)
        for rank, chunk in enumerate(row[:count])
    }
