"""What a chunk is found by: one camera a frame, or whatever a rule looks at; and the checks of what the verbs take."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from worldkv_jax.memory.compression_rule import needs_scores
from worldkv_jax.memory.layout import Layout
from worldkv_jax.memory.retrieval import needs_query


def layout_of(memory: Any) -> Layout:
    """Return the layout of a memory; raise ValueError for what is none, such as all that `recall` returns."""
    layout = getattr(memory, "layout", None)
    if not isinstance(layout, Layout):
        raise ValueError(
            f"memory is a {type(memory).__name__}, expected a WorldMemory: `create` makes one, `remember` returns the "
            "next, and `recall` returns a context and picks"
        )
    return layout


def check_view(view: Any, layout: Layout) -> None:
    """Raise ValueError for a view of another shape than a chunk of this memory has, or NumPy's cameras not all finite.

    No chunk would be found by such a camera, nor ever again be found that was stored under it. One of JAX would have to
    be waited for and fetched, and then holds what was fetched.
    """
    lead = (layout.worlds, layout.spec.chunk_frames)
    if layout.bank is None:  # which looks at none: anything of so many worlds and frames
        frame = jax.tree.map(lambda x: jax.ShapeDtypeStruct(jnp.shape(x)[2:], jnp.float32), view)
    else:
        frame = layout.bank.view
    if jax.tree.structure(frame) == jax.tree.structure(0) == jax.tree.structure(view):
        expected = (*lead, *frame.shape)
        if jnp.shape(view) != expected:
            what = "cameras have" if frame.shape == (4, 4) else "the view has"
            which = "camera-to-world poses" if frame.shape == (4, 4) else "as the rule's `view` says"
            axes = ", ".join(map(str, ("worlds", "frames of a chunk", *frame.shape)))
            raise ValueError(f"{what} shape {jnp.shape(view)}, expected {expected}: [{axes}] {which}")
        looked_at = layout.bank is not None and frame.shape == (4, 4) and isinstance(view, np.ndarray)
        if looked_at and not np.isfinite(view).all():
            raise ValueError("cameras have numbers that are not finite; leave these frames out, or interpolate them")
        return
    expected = jax.tree.map(lambda x: (*lead, *x.shape), frame)
    given = jax.tree.map(jnp.shape, view)
    if given != expected:
        raise ValueError(
            f"the view has the shapes {given}, expected {expected}: [worlds, frames of a chunk, ...] of all that the "
            "rule's `view` names"
        )


def check_query(query: jax.Array | None, layout: Layout) -> None:
    """Raise ValueError for mean queries of another shape than a rule that looks at them needs."""
    if query is None or layout.bank is None or not needs_query(layout.bank.retrieval.rule):
        return
    spec = layout.spec
    expected = (spec.layers, layout.worlds, spec.heads, spec.head_dim)
    if jnp.shape(query) != expected:
        raise ValueError(
            f"query has shape {jnp.shape(query)}, expected {expected}: mean queries [layers, worlds, heads, head dim]; "
            "under grouped queries, the sum over the queries that share a head of keys"
        )


def check_scores(scores: jax.Array | None, layout: Layout) -> None:
    """Raise ValueError for scores that are missing, that nobody looks at, or that have another shape."""
    if layout.bank is None:  # which keeps nothing by them
        return
    rule = layout.bank.compression.rule
    if scores is None:
        if needs_scores(rule):
            raise ValueError(f"compression.rule={type(rule).__name__} needs the tokens' scores: remember(..., scores=)")
        return
    if not needs_scores(rule):
        raise ValueError(
            f"scores are given, but compression.rule={rule!r} does not look at them; give a rule with needs_scores=True"
        )
    spec = layout.spec
    expected = (spec.layers, layout.worlds, spec.chunk_tokens)
    if jnp.shape(scores) != expected:
        raise ValueError(f"scores have shape {jnp.shape(scores)}, expected {expected}: [layers, worlds, tokens]")
