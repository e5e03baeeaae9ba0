"""What a memory holds, in words and in bytes by tier."""

import jax
import numpy as np

from worldkv_jax.byte_counts import format_bytes
from worldkv_jax.counts import counted
from worldkv_jax.memory.layout import BankLayout, Layout
from worldkv_jax.memory.room import dropped_chunks, lost_chunks, stored_chunks


def bytes_by_tier(layout: Layout, chunk: int) -> dict[str, int]:
    """Count the bytes of keys and values that are in use after ``chunk`` chunks, by tier.

    The device's share is the filled part of the window, and of a bank on the device; buffers are allocated at
    full capacity, see `capacity_by_tier`.
    """
    spec = layout.spec
    seen = chunk * spec.chunk_frames
    tokens = min(seen, layout.window.sink_frames + layout.window.ring_frames) * spec.tokens_per_frame
    return _by_tier(layout, spec.bytes(layout.worlds, tokens), stored_chunks(layout, chunk))


def capacity_by_tier(layout: Layout) -> dict[str, int]:
    """Count the bytes of keys and values at full capacity, by tier."""
    window = layout.spec.bytes(layout.worlds, layout.window.tokens)
    return _by_tier(layout, window, 0 if layout.bank is None else layout.bank.capacity)


def fork_bytes(layout: Layout) -> int:
    """Count the bytes of keys and values that a fork takes when it goes its own way: the window.

    A bank in one array (``tier="device"``) is copied as a whole; separate arrays stay shared.
    """
    window, bank = layout.spec.bytes(layout.worlds, layout.window.tokens), layout.bank
    return window if bank is None or bank.config.tier != "device" else window + bank.capacity * bank.chunk_bytes


def attended_tokens(layout: Layout, chunk: int, *, found: int | None = None) -> int:
    """Count the stored tokens that chunk number ``chunk`` attends to, its own not included.

    Args:
        layout: static sizes.
        chunk: id of the chunk.
        found: how many chunks were retrieved, where known (`Picks.count`). Otherwise it is computed, which is
            an upper bound for a bank that drops the most redundant chunk: which one depends on the cameras.
    """
    size, window, bank = layout.spec.tokens_per_frame, layout.window, layout.bank
    sink, ring = _window_frames(layout, chunk)
    if bank is None:
        return (sink + ring) * size
    if found is None:
        found = max(0, min(_candidates(bank, chunk), bank.retrieval.chunks))
    recent = window.near_frames if found and window.far_frames else ring
    return (sink + recent) * size + found * bank.kept_tokens


def summarize(layout: Layout, chunk_counter: jax.Array) -> str:
    """Say what a memory of this layout holds when its counter stands there, in a few lines."""
    config, spec, bank = layout.config, layout.spec, layout.bank
    seen = _chunks_seen(chunk_counter)  # several if the memory has a vmapped axis, none if it has no values
    copies = 1 if seen is None else seen.size
    chunk = None
    if seen is not None and seen.size and (seen == seen.flat[0]).all():
        chunk = int(seen.flat[0])
    if seen is None:
        count = "no values"
    else:
        count = f"{seen.tolist()} chunks seen" if chunk is None else f"{counted(chunk, 'chunk')} seen"
    stacked = "" if seen is None or not seen.ndim else f"{copies} memories x "
    lines = [f"WorldMemory({config.mode}, {count}, {stacked}{counted(layout.worlds, 'world')})"]
    window = layout.window
    where = " (moving)" if layout.moves_sink else ""
    waiting = f" + {window.draft_frames} that wait" if window.draft_frames else ""
    recent = f"recent {window.near_frames + window.far_frames}{waiting}"
    lines.append(f"  window: sink {window.sink_frames}{where} + {recent} frames of {spec.tokens_per_frame} tokens")
    if bank is not None:
        held = "up to" if chunk is None else f"{stored_chunks(layout, chunk)} of"
        over = 0 if chunk is None else dropped_chunks(layout, chunk)
        dropped = f" ({over} dropped)" if over and bank.config.when_full != "error" else ""
        storage = "" if bank.config.storage == "model" else f" as {bank.config.storage}"
        lines.append(
            f"  bank: {held} {bank.capacity} chunks, {bank.stored_tokens} of {bank.chunk_tokens} tokens each, "
            f"in {bank.config.tier} memory{storage}; when full: {bank.config.when_full}{dropped}"
        )
        lines.append(
            f"  recall: {bank.retrieval.chunks} nearest by {type(bank.retrieval.rule).__name__}, {bank.kept_tokens} "
            f"tokens each, positions {'rebased' if bank.rebases else 'as stored'}"
        )
        if bank.prunes_nothing:
            lines.append("  nothing is pruned: the one frame of a chunk is its own anchor")
    lost = 0 if seen is None else max((lost_chunks(layout, int(c)) for c in seen.flat), default=0)
    if lost:
        advice = "a larger chunks=..." if config.mode == "full" else "a larger bank.capacity"
        lines.append(f"  LOST: {counted(lost, 'chunk')} did not fit; make the memory with {advice}")
    sizes = capacity_by_tier(layout) if chunk is None else bytes_by_tier(layout, chunk)
    sizes = ", ".join(f"{format_bytes(copies * size)} in {tier}" for tier, size in sizes.items())
    lines.append(f"  bytes: {sizes}{' when full' if chunk is None else ''}")
    return "\n".join(lines)


def _candidates(layout: BankLayout, chunk: int) -> int:
    """Count the chunks that may be retrieved for chunk number ``chunk``, at most."""
    chunk //= layout.spec.store_every
    oldest, newest = layout.first_candidate, chunk - layout.candidate_lag
    policy = layout.config.when_full
    if policy == "error":
        return min(newest, layout.first_stored + layout.capacity) - oldest
    if policy == "drop_oldest":
        return newest - max(oldest, chunk - layout.capacity)
    return min(newest - oldest, layout.capacity)


def _chunks_seen(chunk_counter: jax.Array) -> np.ndarray | None:
    """Read the chunk counter, unless the memory is traced, abstract, or its buffers were given away."""
    try:
        seen = np.asarray(chunk_counter)
    except (jax.errors.TracerArrayConversionError, RuntimeError):
        return None
    return seen if np.issubdtype(seen.dtype, np.integer) else None


def _window_frames(layout: Layout, chunk: int) -> tuple[int, int]:
    """Count the frames in the sink and in the ring that chunk number ``chunk`` attends to."""
    seen, window = chunk * layout.spec.chunk_frames, layout.window
    rolled = seen - window.sink_frames
    held = window.near_frames + window.far_frames
    if window.draft_frames:
        held += rolled % window.draft_frames
    return min(seen, window.sink_frames), min(max(rolled, 0), held)


def _by_tier(layout: Layout, window: int, chunks: int) -> dict[str, int]:
    sizes = {"device": window}
    if layout.bank is not None:
        tier = "device" if layout.bank.config.on_device else layout.bank.config.tier
        sizes[tier] = sizes.get(tier, 0) + chunks * layout.bank.chunk_bytes
    return sizes
