"""The world memory and its two verbs: recall what the next view needs, remember what was made."""

from typing import NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from worldkv_jax.memory import bank as device_bank
from worldkv_jax.memory import host_bank
from worldkv_jax.memory.bank import DeviceBank, Picks
from worldkv_jax.memory.compression import compress
from worldkv_jax.memory.config import MemoryConfig
from worldkv_jax.memory.host_bank import HostBank
from worldkv_jax.memory.layout import Layout
from worldkv_jax.memory.retrieval import AttentionScore
from worldkv_jax.memory.spans import KVSpan, KVSpec, concatenate
from worldkv_jax.memory.window import Window, empty_window, latest, push, valid_tokens


class Context(NamedTuple):
    """The past that a chunk attends to, packed: the first ``length`` rows are valid, in any order."""

    span: KVSpan  # [L, B, W, N, H]
    length: jax.Array  # int32


class Fetched(NamedTuple):
    """Chunks brought to the device ahead of the chunk that needs them."""

    picks: Picks
    span: KVSpan  # [L, B, K, P, N, H]


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
            ValueError: sizes that do not fit together; the text says which would.
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

    def __repr__(self) -> str:
        from worldkv_jax.memory.report import describe_memory

        return describe_memory(self)


def recall(
    memory: WorldMemory,
    cameras: jax.Array,
    *,
    query: jax.Array | None = None,
    fetched: Fetched | None = None,
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
    """
    if memory.bank is None:
        return window_context(memory), None
    if fetched is None:
        fetched = _find(memory, memory.chunk, cameras, query)
    assemble = _assemble if memory.on_device else _assemble_jit
    return assemble(memory.window, memory.chunk, fetched, memory.layout), fetched.picks


def window_context(memory: WorldMemory) -> Context:
    """Return the window alone as a context, with nothing retrieved; works under jit."""
    return _assemble(memory.window, memory.chunk, None, memory.layout)


def can_prefetch(layout: Layout) -> bool:
    """Tell whether a chunk's picks are certain before the chunk ahead of it is made.

    They are not if that chunk may itself be picked, or decides which stored chunk is dropped, or if the rule
    looks at more than cameras.
    """
    return (
        layout.has_bank
        and layout.candidate_lag >= 1
        and layout.config.bank.when_full != "drop_most_redundant"
        and not isinstance(layout.config.retrieval.rule, AttentionScore)
    )


def prefetch(memory: WorldMemory, cameras: jax.Array) -> Fetched | None:
    """Pick and move the chunks that the chunk *after* the next one needs, whose cameras are known already.

    Call it before the next chunk is generated: its picks only need chunks that are stored by now, so they
    move while the device generates.

    Args:
        memory: the memory before the next chunk.
        cameras: ``[B, F, 4, 4]`` of the chunk after it.

    Returns:
        What to give to `recall` for that chunk; ``None`` if nothing can be known yet, see `can_prefetch`.
    """
    if not can_prefetch(memory.layout):
        return None
    return _find(memory, memory.chunk + 1, cameras, None)


def remember(memory: WorldMemory, own: KVSpan, cameras: jax.Array) -> WorldMemory:
    """Take a finished chunk into the memory: roll the window, prune the chunk, store it under its cameras.

    Donate the old memory under jit and every buffer is written in place. With a host tier call it outside jit.

    Args:
        memory: the memory before the chunk.
        own: keys and values ``[L, B, T, N, H]`` of the chunk's clean pass.
        cameras: ``[B, F, 4, 4]`` camera-to-world poses of the chunk.

    Raises:
        ValueError: keys of another shape, or (where it is known without waiting) a full bank that may not drop.
    """
    layout = memory.layout
    expected = layout.spec.shape(layout.worlds, layout.spec.chunk_tokens)
    if own.keys.shape != expected or own.values.shape != expected:
        raise ValueError(
            f"own keys {own.keys.shape} and values {own.values.shape} do not fit this memory: expected {expected}, "
            "that is [layers, worlds, tokens of a chunk, heads, head dim]"
        )
    if not layout.has_bank:
        window = push(memory.window, own, memory.chunk * layout.spec.chunk_frames, layout)
        return memory.replace(window=window, chunk=memory.chunk + 1)
    if memory.on_device:
        window, pruned, description = _digest(memory.window, memory.chunk, own, cameras, layout)
        bank = device_bank.store(memory.bank, pruned, memory.chunk, description, layout)
    else:
        check_room(layout, memory.bank.offered)
        window, pruned, description = _digest_jit(memory.window, memory.chunk, own, cameras, layout)
        bank = host_bank.store(memory.bank, pruned, memory.chunk, description, layout)
    return memory.replace(window=window, bank=bank, chunk=memory.chunk + 1)


def check_room(layout: Layout, chunk: int) -> None:
    """Raise before chunk number ``chunk`` is made if a full bank would have to refuse it.

    Under jit nothing can be raised, so whoever counts chunks on the host calls this; `bytes_by_tier` and
    ``repr`` show refused chunks too.

    Raises:
        ValueError: the bank is full and may not drop, with what to change.
    """
    if not layout.has_bank or layout.config.bank.when_full != "error":
        return
    if chunk - layout.first_stored >= layout.capacity:
        raise ValueError(
            f"the bank is full: it holds {layout.capacity} chunks and chunk {chunk} needs a place; raise "
            "bank.capacity, or set bank.when_full to 'drop_oldest' or 'drop_most_redundant'"
        )


def _find(memory: WorldMemory, chunk, cameras, query) -> Fetched:
    layout = memory.layout
    if memory.on_device:
        picks = device_bank.select(memory.bank.index, chunk, cameras, query, layout)
        return Fetched(picks, device_bank.fetch(memory.bank, picks))
    picks = _select_jit(memory.bank.index, chunk, cameras, query, layout)
    return Fetched(picks, host_bank.fetch(memory.bank, picks, layout))


def _digest(window: Window, chunk, own: KVSpan, cameras, layout: Layout):
    """Do the part of `remember` that every tier shares."""
    window = push(window, own, chunk * layout.spec.chunk_frames, layout)
    description = device_bank.describe(cameras, own.keys, layout)
    compression = layout.config.compression
    if compression.at == "store":
        own = compress(own, compression, frames=layout.spec.chunk_frames)
    return window, own, description


def _assemble(window: Window, chunk, fetched: Fetched | None, layout: Layout) -> Context:
    """Pack sink, recent frames and retrieved chunks so that what is valid comes first.

    The sink fills before the ring, and chunks are only retrieved once their successors fill the ring, so
    the order sink, ring, retrieved needs no packing.
    """
    seen = chunk * layout.spec.chunk_frames
    sink, ring = valid_tokens(seen, layout)
    if fetched is None:
        return Context(concatenate([window.sink, window.ring]), sink + ring)
    retrieved = _flatten(_condition(fetched, chunk, layout))
    found = fetched.picks.count * layout.kept_tokens
    near = layout.near_frames * layout.spec.tokens_per_frame
    recent = latest(window, seen, layout.near_frames, layout)
    with_retrieved = concatenate([window.sink, recent, retrieved])
    if not layout.far_frames:
        return Context(with_retrieved, sink + ring + found)
    rolling = concatenate([window.sink, window.ring])
    span = jax.lax.cond(
        fetched.picks.count > 0,
        lambda: _pad(with_retrieved, layout.context_tokens),
        lambda: _pad(rolling, layout.context_tokens),
    )
    return Context(span, jnp.where(fetched.picks.count > 0, sink + near + found, sink + ring))


def _condition(fetched: Fetched, chunk, layout: Layout) -> KVSpan:
    """Re-base and prune retrieved chunks ``[L, B, K, P, N, H]`` where the configuration asks for it."""
    retrieval, compression, frames = (
        layout.config.retrieval,
        layout.config.compression,
        layout.spec.chunk_frames,
    )
    span = fetched.span
    if retrieval.positions == "rebased":
        shift = _rebase_frames(fetched.picks, chunk, layout)
        span = span._replace(keys=layout.spec.rope.shift_time(span.keys, shift[None, :, :, None]))
    if compression.at == "retrieval":
        # The rank of a chunk decides its anchor frame, so ranks are pruned one by one.
        ranks = range(span.keys.shape[2])
        anchors = [rank % frames if compression.rotate_anchor else 0 for rank in ranks]
        pruned = [
            compress(jax.tree.map(lambda a: a[:, :, rank], span), compression, frames=frames, anchor=anchor)  # noqa: B023
            for rank, anchor in zip(ranks, anchors)
        ]
        span = jax.tree.map(lambda *parts: jnp.stack(parts, axis=2), *pruned)
    return span


def _rebase_frames(picks: Picks, chunk, layout: Layout) -> jax.Array:
    """Return by how many frames each picked chunk moves, so that all lie right before the recent frames."""
    retrieval, frames = layout.config.retrieval, layout.spec.chunk_frames
    order = jnp.broadcast_to(jnp.arange(picks.chunks.shape[1], dtype=jnp.int32), picks.chunks.shape)
    if retrieval.rebase_order == "time":
        found = jnp.where(picks.chunks < 0, jnp.iinfo(jnp.int32).max, picks.chunks)
        order = jnp.argsort(jnp.argsort(found, axis=-1), axis=-1).astype(jnp.int32)
    recent_start = chunk * frames - layout.near_frames
    shift = recent_start - (picks.count - order) * frames - picks.chunks * frames
    if retrieval.max_shift is not None:
        shift = jnp.clip(shift, -retrieval.max_shift, retrieval.max_shift)
    return shift


def _flatten(span: KVSpan) -> KVSpan:
    return jax.tree.map(lambda a: a.reshape(*a.shape[:2], -1, *a.shape[4:]), span)


def _pad(span: KVSpan, tokens: int) -> KVSpan:
    width = tokens - span.keys.shape[2]
    return jax.tree.map(lambda a: jnp.pad(a, ((0, 0), (0, 0), (0, width), (0, 0), (0, 0))), span)


# Outside jit only the host tiers call these; inside, the functions above are traced into the caller.
_assemble_jit = jax.jit(_assemble, static_argnames="layout")
_digest_jit = jax.jit(_digest, static_argnames="layout", donate_argnums=0)
_select_jit = jax.jit(device_bank.select, static_argnames="layout")
