"""The world memory and its two verbs: recall what the next view needs, remember what was made."""

import functools
import warnings
from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int32

from worldkv_jax.memory import report
from worldkv_jax.memory.bank import Bank, Fetched
from worldkv_jax.memory.compression_rule import CompressionRule
from worldkv_jax.memory.config import MemoryConfig
from worldkv_jax.memory.context import Context, assemble, window_alone
from worldkv_jax.memory.device_bank import DeviceBank
from worldkv_jax.memory.digest import Finished, advance, empty_drafts
from worldkv_jax.memory.index import Picks, locate, pick
from worldkv_jax.memory.layout import Layout
from worldkv_jax.memory.meshes import is_explicit, recall_along, remember_along
from worldkv_jax.memory.retrieval import Rule
from worldkv_jax.memory.room import check_known_room, count_lost
from worldkv_jax.memory.rule_arrays import NO_ARRAYS, RuleArrays, arrays_of
from worldkv_jax.memory.slot_bank import SlotBank
from worldkv_jax.memory.spans import KVSpan, KVSpec, check_span
from worldkv_jax.memory.views import check_query, check_scores, check_view, layout_of
from worldkv_jax.memory.window import Window, empty_window

BANKS = {"device": DeviceBank, "device_slots": SlotBank, "pinned_host": SlotBank, "host": SlotBank}
"""What holds the bank of each tier."""


class WorldMemory(flax.struct.PyTreeNode):
    """All that a rollout remembers, as a pytree of fixed-capacity buffers."""

    window: Window
    bank: Bank | None
    chunk: Int32[Array, ""]
    """Chunks remembered so far: the id of the chunk that comes next."""
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
        if layout.bank is not None and layout.bank.prunes_nothing:
            warnings.warn(
                "nothing is pruned: chunks of one frame are their own anchor, which is kept whole; remember several "
                "frames as one chunk (KVSpec.store_frames), or say so with CompressionConfig(keep_ratio=1.0)",
                stacklevel=2,
            )
        window, bank = empty_window(layout.window), None
        if layout.bank is not None:
            bank = BANKS[layout.bank.config.tier].empty(layout.bank)
            window = window._replace(drafts=empty_drafts(layout.bank))
        return cls(window=window, bank=bank, chunk=jnp.int32(0), layout=layout)

    @property
    def jittable(self) -> bool:
        """Whether the memory can pass through jit; one whose bank is separate arrays cannot."""
        return self.bank is None or self.bank.jittable

    def map_consumed(self, apply: Callable[[Any], Any]) -> "WorldMemory":
        """Apply a function to the arrays that `remember` consumes: all but stored chunks of their own."""
        bank = None if self.bank is None else self.bank.map_consumed(apply)
        return self.replace(window=apply(self.window), bank=bank, chunk=apply(self.chunk))

    @property
    def lost(self) -> Int32[Array, ""]:
        """Chunks that found no place although the configuration lets none be dropped; also under jit."""
        return count_lost(self.layout, self.chunk)

    def to_saved(self) -> "WorldMemory":
        """Return what to write to disk: arrays whose number and shapes do not depend on how full the memory is."""
        return self if self.bank is None else self.replace(bank=self.bank.padded())

    def from_saved(self) -> "WorldMemory":
        """Return the memory of which this is `to_saved`."""
        return self if self.bank is None else self.replace(bank=self.bank.unpadded(int(self.chunk)))

    def __repr__(self) -> str:
        return report.summarize(self.layout, self.chunk)


def recall(
    memory: WorldMemory,
    view: Any,
    *,
    query: Float[Array, "L B N H"] | None = None,
    fetched: Fetched | None = None,
    picks: Picks | Int32[Array, "B K"] | None = None,
    rule: Rule | None = None,
) -> tuple[Context, Picks | None]:
    """Bring together the past that the next chunk attends to (WorldKV, World Retrieval).

    Works under jit, vmap and sharding when the bank is on the device; with a host tier call it outside jit.

    Args:
        memory: the memory before the chunk.
        view: cameras of the chunk, ``[B, F, 4, 4]`` camera-to-world poses, OpenCV axes; or what else the rule looks
            at, see `ViewRule`.
        query: mean queries ``[L, B, N, H]`` of the chunk, for the attention rule only; under grouped queries the sum
            over each group.
        fetched: what `prefetch` brought for this chunk.
        picks: instead of the rule's choice, what `select` gave for this memory or for another one of the same chunks;
            or chunk ids int32 ``[B, K]`` of your own, nearest first and -1 for none. `locate` says which are left out.
        rule: the retrieval rule once more if it carries arrays.

    Returns:
        The context, and which chunks were picked (``None`` without a bank).

    Raises:
        ValueError: cameras or picks of another shape, no query for the attention rule, a rule that is missing, or a
            host tier inside jit.
    """
    layout = layout_of(memory)
    check_view(view, layout)
    check_query(query, layout)
    ids = picks.chunks if isinstance(picks, Picks) else picks
    if ids is not None:
        _check_ids(ids, layout)
    others: dict[str, Any] = {"query": query, "fetched": fetched, "ids": ids, "rules": _rules(layout, rule)}
    if is_explicit(memory, view):
        return recall_along(_recall, memory, view, others)
    return _recall(memory, view, **others)


@jax.named_scope("recall")
def _recall(
    memory: WorldMemory, view: Any, query: jax.Array | None, fetched: Fetched | None, ids: Any, rules: RuleArrays
) -> tuple[Context, Picks | None]:
    if memory.bank is None:
        return window_context(memory), None
    if fetched is None:
        bank = memory.bank
        if ids is None:
            picks = pick(bank.index, memory.chunk, view, query, bank.layout, rules)
        else:
            picks = locate(bank.index, memory.chunk, ids, bank.layout)
        fetched = memory.bank.fetch(picks, memory.window)
    context = assemble(
        memory.window, memory.chunk, fetched, window_layout=memory.layout.window, bank_layout=memory.bank.layout
    )
    return context, fetched.picks


def select(
    memory: WorldMemory, view: Any, *, query: Float[Array, "L B N H"] | None = None, rule: Rule | None = None
) -> Picks:
    """Choose the chunks that `recall` would bring back, and bring back nothing.

    One choice serves several memories of the same chunks, and is what a learned rule is trained on: give it to
    `recall` as ``picks``. Takes what `recall` takes.

    Raises:
        ValueError: as `recall`; or a memory that retrieves nothing.
    """
    layout = layout_of(memory)
    if memory.bank is None:
        raise ValueError(f"mode={layout.config.mode!r} retrieves nothing, so there is nothing to select")
    check_view(view, layout)
    check_query(query, layout)
    others: dict[str, Any] = {"query": query, "rules": _rules(layout, rule)}
    if is_explicit(memory, view):
        return recall_along(_select, memory, view, others)
    return _select(memory, view, **others)


def _select(memory: WorldMemory, view: Any, *, query: jax.Array | None, rules: RuleArrays) -> Picks:
    assert memory.bank is not None, "`select` has refused a memory without one"
    return pick(memory.bank.index, memory.chunk, view, query, memory.bank.layout, rules)


def window_context(memory: WorldMemory) -> Context:
    """Return the window alone as a context, with nothing retrieved; works under jit."""
    return window_alone(memory.window, memory.chunk, memory.layout.window)


def remember(
    memory: WorldMemory,
    own: KVSpan,
    view: Any,
    *,
    scores: Float[Array, "L B T"] | None = None,
    rule: Rule | None = None,
    compression_rule: CompressionRule | None = None,
) -> WorldMemory:
    """Take a finished chunk into the memory: roll the window, prune the chunk, store it under its cameras.

    Donate the old memory under jit and every buffer is written in place. (In one jit with `recall` that takes
    an ``own`` which depends on what was recalled, as a model's does; else XLA copies the bank to order the two.)
    With a host tier call it outside jit; the old memory is then always consumed.

    Args:
        memory: the memory before the chunk.
        own: keys and values ``[L, B, T, N, H]`` of the chunk's clean pass.
        view: cameras of the chunk, as `recall` takes them.
        scores: ``[L, B, T]`` that the model gives its tokens, such as the attention that each received: for a
            compression rule that wants them.
        rule: the retrieval rule once more if it carries arrays.
        compression_rule: and the compression rule.

    Raises:
        ValueError: keys, cameras or scores of another shape, a rule that is missing, a host tier inside jit, or
            (outside jit, where the memory's counter can be read) a memory that is full and may not drop, or one that
            was read from disk without `from_saved`. Under jit `WorldMemory.lost` counts.
    """
    layout = layout_of(memory)
    expected = layout.spec.shape(layout.worlds, layout.spec.chunk_tokens)
    check_span(own, expected, "[layers, worlds, tokens of a chunk, heads, head dim]")
    check_view(view, layout)
    check_scores(scores, layout)
    check_known_room(layout, memory.chunk)
    finished = Finished(own, view, memory.chunk, scores, _rules(layout, rule, compression_rule, storing=True))
    if is_explicit(memory, finished):
        return remember_along(_remember, memory, finished)
    return _remember(memory, finished)


@jax.named_scope("remember")
def _remember(memory: WorldMemory, finished: Finished) -> WorldMemory:
    layout = memory.layout
    if memory.bank is None:
        window, bank = advance(memory.window, finished, window_layout=layout.window), None
    else:
        window, bank = memory.bank.store(memory.window, finished, layout.window)
    return memory.replace(window=window, bank=bank, chunk=_next(memory.chunk))


@functools.partial(jax.jit, inline=True)  # outside of jit the 1 alone would be sent to the device
def _next(chunk: jax.Array) -> jax.Array:
    return chunk + 1


def reset(memory: WorldMemory, done: Bool[Array, "..."]) -> WorldMemory:
    """Let a memory forget everything where ``done``; works under jit, and writes counter and index alone.

    The worlds of one memory share a counter. Worlds that begin and end by themselves are memories of one world each,
    stacked: `recall` and `remember` under `jax.vmap`, ``done`` with one flag for each. What was remembered stays
    behind the valid rows until it is written over: a world that has become NaN needs a memory made anew.

    Args:
        memory: the memory, or a stack of them.
        done: bool, of the shape of ``memory.chunk``.

    Raises:
        ValueError: flags of another shape, or a bank outside of jit's reach.
    """
    if np.shape(done) != memory.chunk.shape:
        raise ValueError(
            f"done has shape {np.shape(done)}, expected {memory.chunk.shape}, one flag for each memory: worlds that "
            "are reset one by one are memories of one world each, stacked and called under jax.vmap"
        )
    if not memory.jittable:
        raise ValueError("only a memory with its bank on the device is reset in place; make a new one")
    bank, done = memory.bank, jnp.asarray(done)
    if bank is not None:
        index = bank.index._replace(chunks=jnp.where(done[..., None], -1, bank.index.chunks))
        bank = bank.replace(index=index)
    return memory.replace(bank=bank, chunk=jnp.where(done, 0, memory.chunk))


def _check_ids(ids: jax.Array, layout: Layout) -> None:
    if layout.bank is None:
        raise ValueError(f"mode={layout.config.mode!r} retrieves nothing, so it takes no picks")
    expected = layout.worlds, layout.bank.retrieval.chunks
    shape, dtype = np.shape(ids), getattr(ids, "dtype", type(ids).__name__)
    if shape != expected or dtype != jnp.int32:
        raise ValueError(f"picks are {dtype}{list(shape)}, expected chunk ids int32{list(expected)}, -1 for none")


def _rules(
    layout: Layout, rule: Rule | None, compression_rule: CompressionRule | None = None, *, storing: bool = False
) -> RuleArrays:
    """Return the arrays of the rules; a memory without a bank asks none."""
    if layout.bank is None:
        return NO_ARRAYS
    retrieval = arrays_of(layout.bank.retrieval.rule, rule, "retrieval.rule")
    if not storing:
        return RuleArrays(retrieval)
    return RuleArrays(retrieval, arrays_of(layout.bank.compression.rule, compression_rule, "compression.rule"))
