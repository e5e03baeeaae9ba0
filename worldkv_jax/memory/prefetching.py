"""Fetching ahead: picks that are certain early move to the device while the chunk before is generated."""

from jaxtyping import Array, Float

from worldkv_jax.memory.bank import Fetched
from worldkv_jax.memory.index import Picks, pick
from worldkv_jax.memory.layout import BankLayout
from worldkv_jax.memory.retrieval import needs_query
from worldkv_jax.memory.views import check_view
from worldkv_jax.memory.world_memory import WorldMemory


def can_prefetch(layout: BankLayout) -> bool:
    """Tell whether a chunk's picks are certain before the chunk ahead of it is made.

    They are not if that chunk may itself be picked, or decides which stored chunk is dropped, or if the rule
    looks at more than cameras.
    """
    return (
        layout.candidate_lag >= 1
        and layout.config.when_full != "drop_most_redundant"
        and not needs_query(layout.retrieval.rule)
    )


def pick_ahead(memory: WorldMemory, cameras: Float[Array, "B F 4 4"]) -> Picks | None:
    """Pick the chunks that the chunk *after* the next one needs, and do not wait for the answer.

    Given to `prefetch` later, the picks spare it the wait for all the work that the device got in between.

    Args:
        memory: the memory before the next chunk.
        cameras: of the chunk after it.

    Returns:
        The picks; ``None`` if nothing can be known yet, see `can_prefetch`.
    """
    if memory.bank is None or not can_prefetch(memory.bank.layout):
        return None
    check_view(cameras, memory.layout)
    return pick(memory.bank.index, memory.chunk + 1, cameras, None, memory.bank.layout)


def prefetch(memory: WorldMemory, cameras: Float[Array, "B F 4 4"], *, picks: Picks | None = None) -> Fetched | None:
    """Pick and move the chunks that the chunk *after* the next one needs, whose cameras are known already.

    Call it before the next chunk is generated: its picks only need chunks that are stored by now, so they
    move while the device generates.

    Args:
        memory: the memory before the next chunk.
        cameras: of the chunk after it.
        picks: what `pick_ahead` picked for them from the same memory.

    Returns:
        What to give to `recall` for that chunk; ``None`` if nothing can be known yet, see `can_prefetch`.
    """
    picks = pick_ahead(memory, cameras) if picks is None else picks
    return None if picks is None or memory.bank is None else memory.bank.fetch(picks, memory.window)


def correct(memory: WorldMemory, cameras: Float[Array, "B F 4 4"], guess: Fetched) -> Fetched:
    """Pick and move the chunks that the next chunk needs, but for those that a guess has brought already.

    For cameras that are known late: `prefetch` for the cameras that are likely, correct when they are known. With a
    host tier only.

    Args:
        memory: the memory before the next chunk.
        cameras: of the next chunk.
        guess: what `prefetch` brought for other cameras; what it brought in vain is left out.
    """
    assert memory.bank is not None, "a guess comes from a bank"
    check_view(cameras, memory.layout)
    picks = pick(memory.bank.index, memory.chunk, cameras, None, memory.bank.layout)
    return memory.bank.fetch(picks, memory.window, known=guess)
