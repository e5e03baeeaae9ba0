"""Choosing chunks against the number of chunks to choose from; only the index is made, no keys and values."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from worldkv_jax.benchmarks.timing import Effort, measure
from worldkv_jax.benchmarks.views import cycle_views, random_cameras
from worldkv_jax.memory import DEFAULT, RULES, AttentionScore, BankConfig, KVSpec, RetrievalConfig
from worldkv_jax.memory.index import Index, describe_chunk, pick
from worldkv_jax.memory.layout import BankLayout, Layout
from worldkv_jax.names import check_name

CAMERA_RULES = tuple(name for name, rule in RULES.items() if not isinstance(rule, AttentionScore))
"""Rules that need nothing but cameras, so that an index can be made without a model."""


def plan_selection(rules: Sequence[str], sizes: Sequence[int], *, retrieve: int = 6) -> list[Layout]:
    """Lay out the memories of `measure_selection`: each rule with each size of index, smallest first.

    Args:
        rules: names of retrieval rules, of `CAMERA_RULES`.
        sizes: chunks in the index.
        retrieve: chunks chosen, at most the smallest size.

    Raises:
        ValueError: a rule that needs more than cameras, or a size that is too small.
    """
    # Layouts want the shape of keys and values, of which only an example is made, for `describe_chunk`.
    spec = KVSpec(layers=1, heads=1, head_dim=2, tokens_per_frame=1)
    layouts = []
    for rule, size in itertools.product(rules, sorted(set(sizes))):
        check_name("rule that needs cameras alone", rule, CAMERA_RULES)
        retrieval = RetrievalConfig(chunks=retrieve, rule=rule)
        config = dataclasses.replace(DEFAULT, retrieval=retrieval, bank=BankConfig(capacity=size))
        layouts.append(Layout(config=config, spec=spec))
    return layouts


def measure_selection(layouts: Sequence[Layout], *, effort: Effort, seed: int = 0) -> Iterator[dict]:
    """Time how long choosing the nearest chunks takes in an index of random cameras; no keys, no values.

    Args:
        layouts: what `plan_selection` made.
        effort: how long to measure.
        seed: of the random cameras.

    Yields:
        One row per layout with a `Timing` in seconds and ``ratio``, its median over that of the smallest size; a
        row that would take too long has ``skipped`` instead, the reason.
    """
    names = {rule: name for name, rule in RULES.items()}
    measured = {}
    for layout in layouts:
        bank = layout.require_bank()
        row = {"rule": names[bank.retrieval.rule], "chunks": bank.capacity}
        done = measured.setdefault(row["rule"], [])
        expected = done[-1]["median_s"] * row["chunks"] / done[-1]["chunks"] if done else 0
        if expected > effort.call_limit_s:
            yield {**row, "skipped": f"about {expected:.1f} s a call is more than {effort.call_limit_s:g} s"}
            continue
        row |= dataclasses.asdict(measure(_selection(bank, seed), effort))
        done.append(row)
        yield {**row, "ratio": row["median_s"] / done[0]["median_s"]}


def _selection(layout: BankLayout, seed: int) -> Callable[[], Any]:
    """Fill an index; the step chooses for one view after another."""
    rng, frames = np.random.default_rng(seed), layout.spec.chunk_frames
    cameras = jnp.asarray(random_cameras(rng, layout.capacity, frames)[:, None])
    keys = layout.spec.zeros(1, layout.spec.chunk_tokens).keys
    descriptions = jax.jit(jax.vmap(lambda views: describe_chunk(views, keys, layout)))(cameras)
    oldest, after = layout.first_candidate, layout.first_candidate + layout.capacity
    index = Index(descriptions, jnp.arange(oldest, after, dtype=jnp.int32))
    chunk = jnp.int32(after + layout.candidate_lag)  # just late enough that every chunk is a candidate
    queries = cycle_views(rng, frames)
    return lambda: pick(index, chunk, next(queries), None, layout)
