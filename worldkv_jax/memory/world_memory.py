"""The world memory and its two verbs: recall what the next view needs, remember what was made."""

import flax.struct
import jax
import jax.numpy as jnp

from worldkv_jax.memory import bank as device_bank
from worldkv_jax.memory import host_bank, report
from worldkv_jax.memory.bank import DeviceBank, Picks
from worldkv_jax.memory.compression import compress
from worldkv_jax.memory.config import MemoryConfig
from worldkv_jax.memory.context import Context, Fetched, assemble
from worldkv_jax.memory.host_bank import Arriving, HostBank
from worldkv_jax.memory.layout import Layout
from worldkv_jax.memory.quantization import quantize
from worldkv_jax.memory.retrieval import needs_query
from worldkv_jax.memory.spans import KVSpan, KVSpec
from worldkv_jax.memory.window import Window, empty_window, push


@flax.struct.dataclass
class WorldMemory:
    """All that a rollout remembers, as a pytree of fixed-capacity buffers."""

    window: Window
    bank: DeviceBank | HostBank | None
    chunk: jax.Array
    """int32, chunks remembered so far: the id of the chunk that comes next."""
    layout: Layout = flax.struct.field(pytree_node=False)
    """Static sizes and configuration; part of the jit key."""

    @classmethod
    def create(cls, config: MemoryConfig, spec: KVSpec, *, worlds: int = 1, chunks: int | None = None) -> "WorldMemory":
        """Make an empty memory.

        Args:
            config: what to keep, find and drop.
            spec: shape of the backbone's keys and values.
            worlds: worlds in the batch, ``B``.
            chunks: length of the rollout; needed where the configuration does not set all sizes.

        Raises:
            ValueError: sizes that do not fit together (the text says which would), or a device without the
                memory tier.
        """
        layout = Layout(config=config, spec=spec, worlds=worlds, chunks=chunks)
        bank = None
        if layout.has_bank and config.bank.tier == "device":
            bank = device_bank.empty_device_bank(layout)
        elif layout.has_bank:
            bank = host_bank.empty_host_bank(layout)
        return cls(window=empty_window(layout), bank=bank, chunk=jnp.int32(0), layout=layout)

    @property
    def on_device(self) -> bool:
        """Whether every buffer is in device memory, so that the memory can pass through jit."""
        return not isinstance(self.bank, HostBank)

    def to_saved(self) -> "WorldMemory":
        """Return what to write to disk: arrays whose number and shapes do not depend on how full the memory is."""
        return self if self.on_device else self.replace(bank=host_bank.to_saved(self.bank, self.layout))

    def from_saved(self) -> "WorldMemory":
        """Return the memory of which this is `to_saved`."""
        return self if self.on_device else self.replace(bank=host_bank.from_saved(self.bank, int(self.chunk)))

    def __repr__(self) -> str:
        return report.describe(self.layout, self.chunk)


def recall(
    memory: WorldMemory,
    cameras: jax.Array,
    *,
    query: jax.Array | None = None,
    fetched: Fetched | Arriving | None = None,
) -> tuple[Context, Picks | None]:
    """Bring together the past that the next chunk attends to (WorldKV, World Retrieval).

    Works under jit, vmap and sharding when the bank is on the device; with a host tier call it outside jit.

    Args:
        memory: the memory before the chunk.
        cameras: ``[B, F, 4, 4]`` camera-to-world poses of the chunk, OpenCV axes.
        query: mean queries ``[L, B, N, H]`` of the chunk, for the attention rule only.
        fetched: what `prefetch` brought for this chunk.

    Returns:
        The context, and which chunks were picked (``None`` without a bank).

    Raises:
        ValueError: cameras of another shape, no query for the attention rule, or a host tier inside jit.
    """
    _check_cameras(cameras, memory.layout)
    if memory.bank is None:
        return window_context(memory), None
    if fetched is None:
        fetched = _bring(memory, _pick(memory, memory.chunk, cameras, query))
    pack = assemble if memory.on_device else _assemble_jit
    return pack(memory.window, memory.chunk, fetched, memory.layout), fetched.picks


def window_context(memory: WorldMemory) -> Context:
    """Return the window alone as a context, with nothing retrieved; works under jit."""
    pack = assemble if memory.on_device else _assemble_jit
    return pack(memory.window, memory.chunk, None, memory.layout)


def can_prefetch(layout: Layout) -> bool:
    """Tell whether a chunk's picks are certain before the chunk ahead of it is made.

    They are not if that chunk may itself be picked, or decides which stored chunk is dropped, or if the rule
    looks at more than cameras.
    """
    return (
        layout.has_bank
        and layout.candidate_lag >= 1
        and layout.config.bank.when_full != "drop_most_redundant"
        and not needs_query(layout.config.retrieval.rule)
    )


def pick_ahead(memory: WorldMemory, cameras: jax.Array) -> Picks | None:
    """Pick the chunks that the chunk *after* the next one needs, and do not wait for the answer.

    Given to `prefetch` later, the picks spare it the wait for all the work that the device got in between.

    Args:
        memory: the memory before the next chunk.
        cameras: ``[B, F, 4, 4]`` of the chunk after it.

    Returns:
        The picks; ``None`` if nothing can be known yet, see `can_prefetch`.
    """
    if not can_prefetch(memory.layout):
        return None
    _check_cameras(cameras, memory.layout)
    return _pick(memory, memory.chunk + 1, cameras, None)


def prefetch(memory: WorldMemory, cameras: jax.Array, *, picks: Picks | None = None) -> Fetched | Arriving | None:
    """Pick and move the chunks that the chunk *after* the next one needs, whose cameras are known already.

    Call it before the next chunk is generated: its picks only need chunks that are stored by now, so they
    move while the device generates.

    Args:
        memory: the memory before the next chunk.
        cameras: ``[B, F, 4, 4]`` of the chunk after it.
        picks: what `pick_ahead` picked for them from the same memory.

    Returns:
        What to give to `recall` for that chunk; ``None`` if nothing can be known yet, see `can_prefetch`.
    """
    picks = pick_ahead(memory, cameras) if picks is None else picks
    return None if picks is None else _bring(memory, picks)


def correct(memory: WorldMemory, cameras: jax.Array, guess: Arriving) -> Arriving:
    """Pick and move the chunks that the next chunk needs, but for those that a guess has brought already.

    For cameras that are known late: `prefetch` for the cameras that are likely, correct when they are known. With a
    host tier only.

    Args:
        memory: the memory before the next chunk.
        cameras: ``[B, F, 4, 4]`` of the next chunk.
        guess: what `prefetch` brought for other cameras; what it brought in vain is left out.
    """
    _check_cameras(cameras, memory.layout)
    return _bring(memory, _pick(memory, memory.chunk, cameras, None), arrived=guess)


def remember(memory: WorldMemory, own: KVSpan, cameras: jax.Array) -> WorldMemory:
    """Take a finished chunk into the memory: roll the window, prune the chunk, store it under its cameras.

    Donate the old memory under jit and every buffer is written in place. (In one jit with `recall` that takes
    an ``own`` which depends on what was recalled, as a model's does; else XLA copies the bank to order the two.)
    With a host tier call it outside jit; the old memory is then always consumed.

    Args:
        memory: the memory before the chunk.
        own: keys and values ``[L, B, T, N, H]`` of the chunk's clean pass.
        cameras: ``[B, F, 4, 4]`` camera-to-world poses of the chunk.

    Raises:
        ValueError: keys or cameras of another shape, a host tier inside jit, or (where it is known without
            waiting) a full bank that may not drop.
    """
    layout = memory.layout
    expected = layout.spec.shape(layout.worlds, layout.spec.chunk_tokens)
    if own.keys.shape != expected or own.values.shape != expected:
        raise ValueError(
            f"own keys {own.keys.shape} and values {own.values.shape} do not fit this memory: expected {expected}, "
            "that is [layers, worlds, tokens of a chunk, heads, head dim]"
        )
    _check_cameras(cameras, layout)
    if not layout.has_bank:
        window = push(memory.window, own, memory.chunk * layout.spec.chunk_frames, layout)
        return memory.replace(window=window, chunk=memory.chunk + 1)
    if memory.on_device:
        window, packed, description = _digest(memory.window, memory.chunk, own, cameras, layout)
        bank = device_bank.store(memory.bank, packed, memory.chunk, description, layout)
    else:
        _check_not_traced(memory, own)
        check_room(layout, memory.bank.offered)
        window, packed, description = _digest_jit(memory.window, memory.chunk, own, cameras, layout)
        bank = host_bank.store(memory.bank, packed, memory.chunk, description, layout)
    return memory.replace(window=window, bank=bank, chunk=memory.chunk + 1)


def check_room(layout: Layout, chunk: int) -> None:
    """Raise before chunk number ``chunk`` is made if the memory would have to lose a chunk against its mode.

    Under jit nothing can be raised, so whoever counts chunks on the host calls this; ``repr`` shows lost
    chunks too.

    Raises:
        ValueError: the bank is full and may not drop, or ``full`` memory is, with what to change.
    """
    if layout.config.mode == "full" and chunk >= layout.chunks:
        raise ValueError(
            f"mode='full' keeps every chunk and was made for {layout.chunks}; chunk {chunk} needs a place: make the "
            f"memory with chunks={chunk + 1} or more, or use mode='worldkv'"
        )
    if not layout.has_bank or layout.config.bank.when_full != "error":
        return
    if chunk - layout.first_stored >= layout.capacity:
        raise ValueError(
            f"the bank is full: it holds {layout.capacity} chunks and chunk {chunk} needs a place; raise "
            f"bank.capacity to {chunk + 1 - layout.first_stored} or more (or chunks=..., if that sets it), or set "
            "bank.when_full to 'drop_oldest' or 'drop_most_redundant'"
        )


def _pick(memory: WorldMemory, chunk, cameras, query) -> Picks:
    if not memory.on_device:
        _check_not_traced(memory, cameras)
    select = device_bank.select if memory.on_device else _select_jit
    return select(memory.bank.index, chunk, cameras, query, memory.layout)


def _bring(memory: WorldMemory, picks: Picks, *, arrived: Arriving | None = None) -> Fetched | Arriving:
    if memory.on_device:
        return Fetched(picks, device_bank.fetch(memory.bank, picks))
    device = host_bank.world_sharding(memory.window.ring.keys)
    return host_bank.fetch(memory.bank, picks, device, memory.layout, arrived=arrived)


def _check_cameras(cameras, layout: Layout) -> None:
    expected = (layout.worlds, layout.spec.chunk_frames, 4, 4)
    if cameras.shape != expected:
        raise ValueError(
            f"cameras have shape {cameras.shape}, expected {expected}: [worlds, frames of a chunk, 4, 4] "
            "camera-to-world poses"
        )


def _check_not_traced(memory: WorldMemory, *given) -> None:
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((memory.chunk, given))):
        raise ValueError(
            f"bank.tier={memory.layout.config.bank.tier!r} moves chunks between memories, which jit, vmap and grad "
            "cannot: call recall and remember outside of them, or use tier='device'"
        )


def _digest(window: Window, chunk, own: KVSpan, cameras, layout: Layout):
    """Do the part of `remember` that every tier shares."""
    window = push(window, own, chunk * layout.spec.chunk_frames, layout)
    description = device_bank.describe(cameras, own.keys, layout)
    compression = layout.config.compression
    if compression.at == "store":
        own = compress(own, compression, frames=layout.spec.chunk_frames)
    return window, quantize(own, layout.config.bank.storage, layout.spec.dtype), description


def _assemble(window: Window, chunk, arriving: Arriving | None, layout: Layout) -> Context:
    """Join what has arrived and pack it, in one program that writes every row once."""
    fetched = None if arriving is None else Fetched(arriving.picks, host_bank.join(arriving, layout))
    return assemble(window, chunk, fetched, layout)


# Outside jit only the host tiers call these; inside, the functions above are traced into the caller.
_assemble_jit = jax.jit(_assemble, static_argnames="layout")
_digest_jit = jax.jit(_digest, static_argnames="layout", donate_argnums=0)
_select_jit = jax.jit(device_bank.select, static_argnames="layout")
