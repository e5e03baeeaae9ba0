"""What a bank makes of a finished chunk, whatever memory it is in."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32, Int32

from worldkv_jax.memory.compression import compress
from worldkv_jax.memory.compression_rule import needs_scores
from worldkv_jax.memory.index import describe_chunk
from worldkv_jax.memory.layout import BankLayout, WindowLayout
from worldkv_jax.memory.quantization import quantize
from worldkv_jax.memory.rule_arrays import NO_ARRAYS, RuleArrays
from worldkv_jax.memory.spans import KVSpan
from worldkv_jax.memory.window import Window, finished_draft, push


class Finished(NamedTuple):
    """All that is remembered of a finished chunk."""

    own: KVSpan  # [L, B, T, N, H]
    view: Any  # leaves [B, F, ...], see `ViewRule`
    chunk: Int32[Array, ""]  # its id: how many chunks the model made before it
    scores: Float[Array, "L B T"] | None = None  # for compression rules that want them
    rules: RuleArrays = NO_ARRAYS


class Drafts(NamedTuple):
    """What is known, besides keys and values, of the frames that wait to be stored as one chunk."""

    view: Any  # leaves [B, stored_frames, ...]
    scores: Float32[Array, "L B tokens"] | None  # of stored_frames * S tokens


class Digest(NamedTuple):
    """What is stored of one chunk."""

    span: KVSpan  # [L, B, P, N, H], as `quantize` makes it
    description: Float32[Array, "B D"]


def empty_drafts(layout: BankLayout) -> Drafts | None:
    """Make room for what waits; ``None`` where every chunk is stored at once."""
    spec, worlds = layout.spec, layout.worlds
    if spec.store_every == 1:
        return None
    view = jax.tree.map(lambda x: jnp.zeros((worlds, spec.stored_frames, *x.shape), x.dtype), layout.view)
    scores = jnp.zeros((spec.layers, worlds, layout.chunk_tokens)) if needs_scores(layout.compression.rule) else None
    return Drafts(view, scores)


def advance(window: Window, finished: Finished, *, window_layout: WindowLayout) -> Window:
    """Roll the window, and note what waits until more frames are there."""
    spec, chunk = window_layout.spec, finished.chunk
    window = push(window, finished.own, chunk * spec.chunk_frames, window_layout)
    if window.drafts is None:
        return window
    order = chunk % spec.store_every
    write = jax.lax.dynamic_update_slice_in_dim
    view = jax.tree.map(
        lambda waiting, new: write(waiting, new.astype(waiting.dtype), order * spec.chunk_frames, axis=1),
        window.drafts.view,
        finished.view,
    )
    scores = window.drafts.scores
    if scores is not None:
        assert finished.scores is not None, "a rule that needs scores was refused without them"
        scores = write(scores, finished.scores.astype(scores.dtype), order * spec.chunk_tokens, axis=2)
    return window._replace(drafts=Drafts(view, scores))


@functools.partial(jax.jit, static_argnames=("window_layout", "bank_layout"), inline=True)
def digest(
    window: Window, finished: Finished, *, window_layout: WindowLayout, bank_layout: BankLayout
) -> tuple[Window, Digest, jax.Array | bool]:
    """Roll the window; prune, quantize and describe the chunk that is finished.

    Args:
        window: before the chunk.
        finished: the chunk.
        window_layout: static sizes of the window.
        bank_layout: and of what is stored.

    Returns:
        The new window, what is stored, and whether it is: frames that wait for others are not yet.
    """
    spec = bank_layout.spec
    window = advance(window, finished, window_layout=window_layout)

    def make(own: KVSpan, view: Any, scores: jax.Array | None) -> Digest:
        description = describe_chunk(view, own.keys, bank_layout, finished.rules)
        if bank_layout.compression.at == "store":
            arrays = finished.rules.compression
            own = compress(own, bank_layout.compression, frames=spec.stored_frames, scores=scores, arrays=arrays)
        return Digest(quantize(own, bank_layout.config.storage, spec.dtype), description)

    if window.drafts is None:
        return window, make(finished.own, finished.view, finished.scores), True

    def make_draft() -> Digest:
        seen = (finished.chunk + 1) * spec.chunk_frames
        return make(finished_draft(window, seen, window_layout), *window.drafts)

    # Pruned once for all frames, and not with each of them.
    complete = (finished.chunk + 1) % spec.store_every == 0
    nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(make_draft))
    return window, jax.lax.cond(complete, make_draft, lambda: nothing), complete
