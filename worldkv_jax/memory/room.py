"""Whether a memory has room: how many chunks are stored, how many are lost, and the error before one would be."""

import jax
import jax.numpy as jnp
from jax.core import Tracer

from worldkv_jax.memory.layout import BankLayout, Layout


def stored_chunks(layout: Layout, chunk: int) -> int:
    """Count the chunks in the bank after ``chunk`` chunks."""
    if layout.bank is None:
        return 0
    return min(max(chunk // layout.spec.store_every - layout.bank.first_stored, 0), layout.bank.capacity)


def dropped_chunks(layout: Layout, chunk: int) -> int:
    """Count the chunks that found no place or lost it, after ``chunk`` chunks, whether or not that is allowed."""
    if layout.bank is not None:
        return max(0, chunk // layout.spec.store_every - layout.bank.first_stored - layout.bank.capacity)
    return max(0, chunk - layout.chunks) if layout.config.mode == "full" and layout.chunks is not None else 0


def lost_chunks(layout: Layout, chunk: int) -> int:
    """Count the chunks that are lost although the configuration does not allow it, after ``chunk`` chunks.

    `check_room` prevents it where chunks are counted on the host; under jit it shows in `WorldMemory.lost`.
    """
    allowed = layout.bank is not None and layout.bank.config.when_full != "error"
    return 0 if allowed else dropped_chunks(layout, chunk)


def count_lost(layout: Layout, chunk: jax.Array) -> jax.Array:
    """Count as `lost_chunks`, after any number of chunks that is an array, or traced."""
    # The count grows by one with each chunk that is stored once the room is used up, so one says from where on.
    far = 2**30
    lost, stored = lost_chunks(layout, far), 1 if layout.bank is None else layout.spec.store_every
    return jnp.maximum(chunk // stored - (far // stored - lost), 0) if lost else jnp.zeros_like(chunk)


def check_known_room(layout: Layout, chunk: jax.Array) -> None:
    """Raise as `check_room` where the number of the chunk can be read: outside jit, for one memory.

    Whether an error is raised must not depend on how busy the machine is, so a number that is still computed is
    waited for. It was set when the chunk before was remembered: what this chunk computes goes on meanwhile.
    """
    if isinstance(chunk, Tracer) or chunk.ndim or not chunk.is_fully_replicated:
        return
    check_room(layout, int(jax.device_get(chunk)))


def check_room(layout: Layout, chunk: int) -> None:
    """Raise before chunk number ``chunk`` is made if the memory would have to lose a chunk against its mode.

    Under jit nothing can be raised, so whoever counts chunks on the host calls this, or looks at
    `WorldMemory.lost`.

    Raises:
        ValueError: the bank is full and may not drop, or ``full`` memory is, with what to change.
    """
    if layout.bank is not None:
        _check_bank_room(layout.bank, chunk)
    elif lost_chunks(layout, chunk + 1):
        raise ValueError(
            f"mode='full' keeps every chunk and was made for {layout.chunks}; chunk {chunk} needs a place: make the "
            f"memory with chunks={chunk + 1} or more, or use mode='worldkv'"
        )


def _check_bank_room(layout: BankLayout, chunk: int) -> None:
    number, waits = divmod(chunk + 1, layout.spec.store_every)
    number -= 1  # of the stored chunk that ends with this one
    if layout.config.when_full == "error" and not waits and number - layout.first_stored >= layout.capacity:
        raise ValueError(
            f"the bank is full: it holds {layout.capacity} chunks and chunk {number} needs a place; raise "
            f"bank.capacity to {number + 1 - layout.first_stored} or more (or chunks=..., if that sets it), or set "
            "bank.when_full to 'drop_oldest' or 'drop_most_redundant'"
        )
