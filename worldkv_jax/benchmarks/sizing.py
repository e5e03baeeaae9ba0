"""Sizing: how many bytes a memory takes at a full bank, and whether the machine has them."""

import math

from worldkv_jax.byte_counts import format_bytes
from worldkv_jax.memory.layout import Layout
from worldkv_jax.sessions.free_memory import available_device_bytes, available_host_bytes


def needed_bytes(layout: Layout) -> tuple[int, int]:
    """Estimate the bytes that one `recall` and one `remember` take at a full bank.

    Returns:
        Bytes that do not depend on the bank's size, all on the device (window, the chunk itself, the retrieved
        chunks and the context they are packed into), and bytes of one chunk in the bank.
    """
    spec, worlds, bank = layout.spec, layout.worlds, layout.require_bank()
    tokens = layout.window.tokens + spec.chunk_tokens
    retrieved = bank.retrieval.chunks * bank.chunk_bytes
    return spec.bytes(worlds, tokens + layout.context_tokens) + retrieved, bank.chunk_bytes


def bank_bytes(layout: Layout) -> int:
    """Count the bytes of keys and values of a full bank."""
    bank = layout.require_bank()
    return bank.capacity * bank.chunk_bytes


def check_fits(layout: Layout, share: float) -> None:
    """Refuse a memory that takes more than a share of what the machine has left, before it is made.

    Args:
        layout: the memory.
        share: of the bytes available now, in (0, 1]; the rest is for what the estimate leaves out.

    Raises:
        ValueError: too large; names the biggest bank that fits.
    """
    if not 0 < share <= 1:
        raise ValueError(f"the share of memory that may be used, {share}, is outside (0, 1]")
    fixed, chunk = needed_bytes(layout)
    bank = layout.require_bank()
    tier = bank.config.tier
    device = available_device_bytes()
    host = available_host_bytes()
    if device is None:  # on a CPU all tiers lie in main memory
        where, available, needed = "main", host, fixed + bank.capacity * chunk
        room = share * host - fixed
    elif tier == "device":
        where, available, needed = "device", device, fixed + bank.capacity * chunk
        room = share * device - fixed
    else:
        if fixed > share * device:
            raise ValueError(
                f"recalling from and remembering into a {tier} bank needs {format_bytes(fixed)} of device memory, and "
                f"only {share:.0%} of the {format_bytes(device)} available may be used; choose a smaller shape"
            )
        where, available, needed = "main", host, bank.capacity * chunk
        room = share * host
    if needed <= share * available:
        return
    biggest = math.floor(room / chunk)
    advice = f"the biggest capacity that fits is {biggest} chunks"
    if biggest < bank.retrieval.chunks:
        advice = f"not even the {bank.retrieval.chunks} chunks to retrieve fit: choose a smaller shape"
    raise ValueError(
        f"a bank of capacity {bank.capacity} in the {tier} tier needs {format_bytes(needed)} of {where} memory, "
        f"and only {share:.0%} of the {format_bytes(available)} available may be used; {advice}"
    )
