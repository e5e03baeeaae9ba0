"""The context of one chunk: sink, recent frames and retrieved chunks, packed for attention."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Int32

from worldkv_jax.memory.bank import Fetched
from worldkv_jax.memory.compression import compress
from worldkv_jax.memory.index import Picks
from worldkv_jax.memory.layout import BankLayout, WindowLayout
from worldkv_jax.memory.retrieved import Retrieved, restore
from worldkv_jax.memory.spans import KVSpan, concatenate
from worldkv_jax.memory.window import Rows, Window, in_order, latest, valid_tokens, waiting_frames, window_rows


class Context(NamedTuple):
    """The past that a chunk attends to: parts whose rows, one part after another, are valid up to ``length``.

    Nothing is copied that a layer can read where it lies: outside of jit the parts of sink and recent frames are the
    window's own buffers, which `remember` consumes. Whoever needs a context for longer keeps its `span`.
    """

    parts: tuple[KVSpan | Retrieved, ...]  # KVSpan: [L, B, n, N, H]; valid rows in any order
    length: Int32[Array, ""]
    hides_own: Bool[Array, ""] | None = None  # the chunk must not attend to itself; released code, short videos
    chunks: Int32[Array, "B W"] | None = None  # the chunk of each row as `Picks` names it, -1 where not valid
    frames: Int32[Array, "B W"] | None = None  # the latent frame of each row when it was made, -1 where not known

    @property
    def span(self) -> KVSpan:
        """All rows of all layers, joined: ``[L, B, W, N, H]``. A copy; what attends layer by layer needs none."""
        spans = [part.span if isinstance(part, Retrieved) else part for part in self.parts]
        return spans[0] if len(spans) == 1 else concatenate(spans)

    @property
    def rows(self) -> int:
        """Rows of all parts, ``W``."""
        return sum(part.rows if isinstance(part, Retrieved) else part.keys.shape[-3] for part in self.parts)

    @property
    def layers(self) -> tuple[Any, ...]:
        """What a scan over layers takes: the arrays of all parts, with a leading axis of layers."""
        return tuple(part.chunks if isinstance(part, Retrieved) else part for part in self.parts)

    def of_layer(self, arrays: tuple[Any, ...]) -> tuple[KVSpan, ...]:
        """Return the keys and values ``[B, n, N, H]`` of one layer, which one element of `layers` holds."""
        spans = []
        for part, held in zip(self.parts, arrays):
            spans += part.of_layer(held) if isinstance(part, Retrieved) else [held]
        return tuple(spans)

    def layer(self, layer: int | jax.Array) -> tuple[KVSpan, ...]:
        """Return the keys and values ``[B, n, N, H]`` of one layer, part by part.

        Raises:
            ValueError: there is no such layer; of a number that is traced nobody can tell, and the last one is read.
        """
        count = jax.tree.leaves(self.layers)[0].shape[0]
        if not isinstance(layer, jax.Array) and not -count <= layer < count:
            raise ValueError(f"layer {layer} is not among the {count} that the memory has: KVSpec.layers counts them")
        return self.of_layer(jax.tree.map(lambda a: a[layer], self.layers))

    def __repr__(self) -> str:
        length: Any = self.length
        length = "some" if not isinstance(length, jax.Array) or isinstance(length, Tracer) else length
        if not isinstance(jax.tree.leaves(self.layers)[0], jax.Array):  # of a transformation, or of its shapes
            return f"Context({length} rows valid)"
        keys = jax.eval_shape(lambda context: context.span.keys, self)
        return f"Context({length} rows valid of keys and values {keys.dtype}{list(keys.shape)})"


def window_alone(window: Window, chunk: jax.Array, layout: WindowLayout) -> Context:
    """Pack sink and recent frames, with nothing retrieved."""
    sink, length = _sink(window.sink, chunk, layout), _filled(chunk, layout)
    ring = _ordered(window.ring, chunk, layout) if layout.draft_frames else window.ring
    return Context(_parts(ring, sink), length, None, *_known(chunk, None, length, window_layout=layout))


def assemble(
    window: Window, chunk: jax.Array, fetched: Fetched, *, window_layout: WindowLayout, bank_layout: BankLayout
) -> Context:
    """Pack sink, recent frames and retrieved chunks so that what is valid comes first.

    The sink fills before the ring, and chunks are only retrieved once their successors fill the ring, so
    the order sink, ring, retrieved needs no packing, but where frames wait to be stored with others.
    """
    layouts = {"window_layout": window_layout, "bank_layout": bank_layout}
    sink, picks = _sink(window.sink, chunk, window_layout), fetched.picks
    length = _length(chunk, picks, **layouts)
    known = _known(chunk, picks, length, **layouts)
    if window_layout.far_frames or window_layout.draft_frames:
        part = _ring_and_retrieved(window.ring, chunk, fetched, **layouts)
        return Context(_parts(part, sink), length, _any_found(picks) if window_layout.hides_own else None, *known)
    if isinstance(fetched.spans, KVSpan) or bank_layout.compression.at == "retrieval":
        part = _retrieved(chunk, fetched, **layouts)
    else:
        ranks = bank_layout.retrieval.chunks
        by_rank = tuple(fetched.spans[rank::ranks] for rank in range(ranks))
        part = Retrieved(by_rank, _shift(chunk, picks, **layouts), bank_layout)
    return Context(_parts(part, sink, window.ring), length, None, *known)


@functools.partial(jax.jit, static_argnames="layout", inline=True)
def _filled(chunk: jax.Array, layout: WindowLayout) -> jax.Array:
    sink, ring = valid_tokens(chunk * layout.spec.chunk_frames, layout)
    return sink + ring


@functools.partial(jax.jit, static_argnames=("window_layout", "bank_layout"), inline=True)
def _length(chunk: jax.Array, picks: Picks, *, window_layout: WindowLayout, bank_layout: BankLayout) -> jax.Array:
    """Count the rows that are valid; in the released window, older frames give way to retrieved chunks."""
    sink, ring = valid_tokens(chunk * window_layout.spec.chunk_frames, window_layout)
    found = picks.count * bank_layout.kept_tokens
    if window_layout.far_frames:
        ring = jnp.where(picks.count > 0, window_layout.near_frames * window_layout.spec.tokens_per_frame, ring)
    return sink + ring + found


@functools.partial(jax.jit, inline=True)  # outside of jit the 0 alone would be sent to the device
def _any_found(picks: Picks) -> jax.Array:
    return picks.count > 0


@functools.partial(jax.jit, static_argnames=("window_layout", "bank_layout"), inline=True)
def _shift(chunk: jax.Array, picks: Picks, *, window_layout: WindowLayout, bank_layout: BankLayout) -> jax.Array | None:
    """Return by how many frames retrieved chunks move."""
    return rebase_frames(picks, chunk, bank_layout, window_layout) if bank_layout.rebases else None


@functools.partial(jax.jit, static_argnames=("window_layout", "bank_layout"), inline=True)
def _retrieved(chunk: jax.Array, fetched: Fetched, *, window_layout: WindowLayout, bank_layout: BankLayout) -> KVSpan:
    """Return what was retrieved as it is attended to."""
    shift = _shift(chunk, fetched.picks, window_layout=window_layout, bank_layout=bank_layout)
    return _flatten(_condition(fetched, shift, bank_layout))


@functools.partial(jax.jit, static_argnames=("window_layout", "bank_layout"), inline=True)
def _ring_and_retrieved(
    ring: KVSpan, chunk: jax.Array, fetched: Fetched, *, window_layout: WindowLayout, bank_layout: BankLayout
) -> KVSpan:
    """Return ring and retrieved chunks where the latter do not simply follow."""
    retrieved = _retrieved(chunk, fetched, window_layout=window_layout, bank_layout=bank_layout)
    return _join_ring(ring, retrieved, chunk, fetched.picks, window_layout)


@functools.partial(jax.jit, static_argnames="layout", inline=True)
def _ordered(ring: KVSpan, chunk: jax.Array, layout: WindowLayout) -> KVSpan:
    return in_order(ring, chunk * layout.spec.chunk_frames, layout)


@functools.partial(jax.jit, static_argnames=("window_layout", "bank_layout"), inline=True)
def _known(
    chunk: jax.Array,
    picks: Picks | None,
    length: jax.Array,
    *,
    window_layout: WindowLayout,
    bank_layout: BankLayout | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Name chunk and frame of every row, int32 ``[B, W]``: they are joined as keys and values are."""
    seen = chunk * window_layout.spec.chunk_frames
    sink, ring = window_rows(seen, window_layout)
    if picks is not None and bank_layout is not None:
        ring = _join_ring(ring, picked_rows(picks, bank_layout), chunk, picks, window_layout)
    elif window_layout.draft_frames:
        ring = in_order(ring, seen, window_layout)
    rows = [known[0, :, :, 0, 0] for known in concatenate([sink, ring])]
    valid = jnp.arange(rows[0].shape[1], dtype=jnp.int32)[None] < length
    chunks, frames = (jnp.where(valid, known, -1) for known in rows)
    return chunks, frames


def _join_ring(ring: Any, retrieved: Any, chunk: jax.Array, picks: Picks, layout: WindowLayout) -> Any:
    """Put ring and retrieved tokens one after the other; of keys and values, or of what is known of each token."""
    seen = chunk * layout.spec.chunk_frames
    if layout.draft_frames:
        start = (layout.near_frames + waiting_frames(seen, layout)) * layout.spec.tokens_per_frame
        joined = concatenate([in_order(ring, seen, layout), retrieved])
        write = functools.partial(jax.lax.dynamic_update_slice_in_dim, start_index=start, axis=2)
        return jax.tree.map(write, joined, retrieved)
    joined = concatenate([latest(ring, seen, layout.near_frames, layout), retrieved])
    if not layout.far_frames:
        return joined
    # Chosen row by row, which XLA fuses into one write: a `cond` would first make both contexts, then copy one.
    rows = jax.tree.leaves(joined)[0].shape[2]
    unused = jax.tree.map(lambda a: a[:, :, rows:], ring)
    before, after = _pad(ring, rows), concatenate([joined, unused])
    return jax.tree.map(lambda new, old: jnp.where(picks.count > 0, new, old), after, before)


def picked_rows(picks: Picks, layout: BankLayout) -> Rows:
    """Name chunk and frame of each token of retrieved chunks.

    Which frame is known where the order of the frames is: not of tokens that were chosen from all frames together.
    """
    ranks, frames = picks.chunks.shape[1], layout.spec.stored_frames
    size, kept, compression = layout.spec.tokens_per_frame, layout.kept_tokens, layout.compression
    offsets = np.full((ranks, kept), -1, np.int32)
    for rank in range(ranks):
        anchor = rank % frames if compression.rotate_anchor else 0
        if kept == layout.chunk_tokens:
            offsets[rank] = np.arange(kept) // size
        elif compression.rule is None and compression.pooled:
            offsets[rank, :size] = anchor
        elif compression.rule is None:
            others = (kept - size) // (frames - 1)
            offsets[rank] = np.repeat(np.arange(frames), [size if f == anchor else others for f in range(frames)])
    chunks = jnp.repeat(picks.chunks, kept, axis=1)
    offset = offsets.reshape(1, -1)
    known = jnp.where(offset < 0, -1, chunks * frames + offset)
    return Rows(chunks[None, :, :, None, None], known[None, :, :, None, None])


def _sink(sink: KVSpan, chunk: jax.Array, layout: WindowLayout) -> KVSpan:
    """Return the sink as it is attended to, which is where it lies unless it moves."""
    return sink if layout.sink_reach is None else _moved(sink, chunk, layout)


@functools.partial(jax.jit, static_argnames="layout", inline=True)
def _moved(sink: KVSpan, chunk: jax.Array, layout: WindowLayout) -> KVSpan:
    """Turn the sink's keys to lie right before the rest of the past, once they would lie farther back."""
    assert layout.sink_reach is not None and layout.spec.rope is not None, "only a sink that moves is turned"
    seen = chunk * layout.spec.chunk_frames
    shift = jnp.maximum(0, seen - waiting_frames(seen, layout) - layout.sink_reach)
    return sink._replace(keys=layout.spec.rope.shift_time(sink.keys, shift))


def _parts(last: KVSpan | Retrieved, *before: KVSpan) -> tuple[KVSpan | Retrieved, ...]:
    """Leave out what has no rows, but for the last."""
    return (*(span for span in before if span.keys.shape[2]), last)


def _condition(fetched: Fetched, shift: jax.Array | None, layout: BankLayout) -> KVSpan:
    """Restore retrieved chunks ``[L, B, K, P, N, H]``, and prune them where the configuration says so."""
    compression, frames = layout.compression, layout.spec.stored_frames
    span = restore(fetched.joined(layout.worlds), None if shift is None else shift[None, :, :, None], layout)
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


def rebase_frames(picks: Picks, chunk: jax.Array, layout: BankLayout, window: WindowLayout) -> jax.Array:
    """Return by how many frames each picked chunk moves, so that all lie right before the recent frames."""
    retrieval, frames = layout.retrieval, layout.spec.stored_frames
    order = jnp.broadcast_to(jnp.arange(picks.chunks.shape[1], dtype=jnp.int32), picks.chunks.shape)
    if retrieval.rebase_order == "time":
        found = jnp.where(picks.chunks < 0, jnp.iinfo(jnp.int32).max, picks.chunks)
        order = jnp.argsort(jnp.argsort(found, axis=-1), axis=-1).astype(jnp.int32)
    seen = chunk * layout.spec.chunk_frames
    recent_start = seen - window.near_frames - waiting_frames(seen, window)
    shift = recent_start - (picks.count - order) * frames - picks.chunks * frames
    if retrieval.max_shift is not None:
        shift = jnp.clip(shift, -retrieval.max_shift, retrieval.max_shift)
    return shift


def _pad(tree: Any, tokens: int) -> Any:
    """Append rows of zeros, as a released window in a short video needs: it is smaller than what is retrieved."""

    def pad(a: jax.Array) -> jax.Array:
        missing = max(0, tokens - a.shape[2])
        return jnp.pad(a, [(0, missing if axis == 2 else 0) for axis in range(a.ndim)]) if missing else a

    return jax.tree.map(pad, tree)


def _flatten(span: KVSpan) -> KVSpan:
    return jax.tree.map(lambda a: a.reshape(*a.shape[:2], -1, *a.shape[4:]), span)
