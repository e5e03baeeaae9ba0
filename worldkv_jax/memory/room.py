"""Whether a memory has room: how many chunks are stored, how many are lost, and the error before one would be."""

from worldkv_jax.memory.layout import Layout


def stored_chunks(layout: Layout, chunk: int) -> int:
    """Count the chunks in the bank after ``chunk`` chunks."""
    if not layout.has_bank:
        return 0
    return min(max(chunk - layout.first_stored, 0), layout.capacity)


def lost_chunks(layout: Layout, chunk: int) -> int:
    """Count the chunks that are lost although the configuration does not allow it, after ``chunk`` chunks.

    `check_room` prevents it where chunks are counted on the host; under jit it shows here and in ``repr``.
    """
    if layout.config.mode == "full":
        return max(0, chunk - layout.chunks)
    if not layout.has_bank or layout.config.bank.when_full != "error":
        return 0
    return max(0, chunk - layout.first_stored - layout.capacity)


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
