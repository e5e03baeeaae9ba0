"""What a memory holds, in words and in bytes by tier."""

import jax

from worldkv_jax.memory.layout import Layout
from worldkv_jax.memory.world_memory import WorldMemory


def bytes_by_tier(layout: Layout, chunk: int) -> dict[str, int]:
    """Count the bytes of keys and values that are in use after ``chunk`` chunks, by tier.

    The device's share is the filled part of the window, and of a bank on the device; buffers are allocated at
    full capacity, see `capacity_by_tier`.
    """
    spec, worlds = layout.spec, layout.worlds
    seen = chunk * spec.chunk_frames
    frames = min(seen, layout.sink_frames) + min(max(seen - layout.sink_frames, 0), layout.ring_frames)
    return _by_tier(layout, spec.bytes(worlds, frames * spec.tokens_per_frame), stored_chunks(layout, chunk))


def capacity_by_tier(layout: Layout) -> dict[str, int]:
    """Count the bytes of keys and values at full capacity, by tier."""
    frames = layout.sink_frames + layout.ring_frames
    window = layout.spec.bytes(layout.worlds, frames * layout.spec.tokens_per_frame)
    return _by_tier(layout, window, layout.capacity if layout.has_bank else 0)


def attended_tokens(layout: Layout, chunk: int) -> int:
    """Count the stored tokens that chunk number ``chunk`` attends to, its own not included."""
    spec = layout.spec
    seen = chunk * spec.chunk_frames
    sink = min(seen, layout.sink_frames)
    ring = min(max(seen - layout.sink_frames, 0), layout.ring_frames)
    if not layout.has_bank:
        return (sink + ring) * spec.tokens_per_frame
    candidates = min(chunk - layout.candidate_lag, layout.first_stored + layout.capacity) - layout.first_candidate
    if layout.config.bank.when_full != "error":
        candidates = min(chunk - layout.candidate_lag - layout.first_candidate, layout.capacity)
    found = max(0, min(candidates, layout.config.retrieval.chunks))
    recent = layout.near_frames if found and layout.far_frames else ring
    return (sink + recent) * spec.tokens_per_frame + found * layout.kept_tokens


def stored_chunks(layout: Layout, chunk: int) -> int:
    """Count the chunks in the bank after ``chunk`` chunks."""
    if not layout.has_bank:
        return 0
    return min(max(chunk - layout.first_stored, 0), layout.capacity)


def describe_memory(memory: WorldMemory) -> str:
    """Say what a memory is and holds, in a few lines."""
    layout = memory.layout
    config, spec = layout.config, layout.spec
    traced = isinstance(memory.chunk, jax.core.Tracer) or memory.chunk.ndim
    chunk = None if traced else int(memory.chunk)
    count = "traced" if chunk is None else f"{chunk} chunks seen"
    lines = [f"WorldMemory({config.mode}, {count}, {layout.worlds} world{'s' * (layout.worlds > 1)})"]
    window = f"sink {layout.sink_frames} + recent {layout.ring_frames} frames of {spec.tokens_per_frame} tokens"
    lines.append(f"  window: {window}")
    if layout.has_bank:
        held = layout.capacity if chunk is None else stored_chunks(layout, chunk)
        rule = type(config.retrieval.rule).__name__
        lines.append(
            f"  bank: {held} of {layout.capacity} chunks, {layout.stored_tokens} of {spec.chunk_tokens} tokens each, "
            f"in {config.bank.tier} memory; when full: {config.bank.when_full}"
        )
        refused = 0 if chunk is None else max(0, chunk - layout.first_stored - layout.capacity)
        if refused and config.bank.when_full == "error":
            lines.append(f"  REFUSED: {refused} chunks did not fit and are lost; raise bank.capacity")
        lines.append(
            f"  recall: {config.retrieval.chunks} nearest by {rule}, {layout.kept_tokens} tokens each, positions "
            f"{config.retrieval.positions}"
        )
    sizes = capacity_by_tier(layout) if chunk is None else bytes_by_tier(layout, chunk)
    lines.append("  bytes: " + ", ".join(f"{format_bytes(size)} in {tier}" for tier, size in sizes.items()))
    return "\n".join(lines)


def format_bytes(size: float) -> str:
    """Format a byte count with a binary unit."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            break
        size /= 1024
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


def _by_tier(layout: Layout, window: int, chunks: int) -> dict[str, int]:
    sizes = {"device": window}
    if layout.has_bank:
        tier = layout.config.bank.tier
        bank = layout.spec.bytes(layout.worlds, chunks * layout.stored_tokens)
        sizes[tier] = sizes.get(tier, 0) + bank
    return sizes
