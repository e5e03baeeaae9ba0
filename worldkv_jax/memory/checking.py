"""The check of a rule of one's own on shapes alone, before anything runs."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from worldkv_jax.memory.compression_rule import CompressionRule, needs_scores
from worldkv_jax.memory.config import CompressionConfig
from worldkv_jax.memory.retrieval import ChoosingRule, PairwiseRule, Rule, needs_query, view_of
from worldkv_jax.memory.rules import as_rule
from worldkv_jax.memory.spans import KVSpan, KVSpec
from worldkv_jax.shape_checks import ShapeChecks, show

_STORED = 5  # chunks of the index that a rule is tried on


def check_rule(rule: Rule | CompressionRule, spec: KVSpec) -> None:
    """Try a retrieval or a compression rule on shapes alone, and say what is wrong with it.

    Args:
        rule: one of your own, with its arrays if it carries some.
        spec: keys and values of the model that it is for.

    Raises:
        ValueError: everything that is wrong, method by method.
    """
    checks = ShapeChecks()
    given: Any = rule  # of which kind it is meant to be, its methods say
    if hasattr(rule, "describe"):
        as_rule(given)
        _check_retrieval(checks, given, spec)
    else:
        CompressionConfig(rule=given)
        _check_compression(checks, given, spec)
    if dataclasses.is_dataclass(rule) and jax.tree_util.all_leaves([rule]):  # arrays have no equality
        checks.expect(
            dataclasses.replace(rule) == rule,
            "two rules made alike are not equal, so that every memory compiles anew: make it a dataclass(frozen=True)",
        )
    checks.finish(f"{type(rule).__name__} does not fit")


def _check_retrieval(checks: ShapeChecks, rule: Any, spec: KVSpec) -> None:
    tokens = spec.stored_frames * spec.tokens_per_frame
    keys = jax.ShapeDtypeStruct((spec.layers, tokens, spec.heads, spec.head_dim), spec.dtype)
    query = jax.ShapeDtypeStruct((spec.layers, spec.heads, spec.head_dim), spec.dtype) if needs_query(rule) else None

    def view(frames: int) -> Any:
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct((frames, *x.shape), x.dtype), view_of(rule))

    described = checks.call("describe", rule.describe, view(spec.stored_frames), keys)
    asked = checks.call("describe_query", rule.describe_query, view(spec.chunk_frames), query)
    for name, made in (("describe", described), ("describe_query", asked)):
        if made is not None and not (getattr(made, "ndim", None) == 1 and made.dtype == jnp.float32):
            checks.add(f"{name} gives {show(made)}, expected one float32[D]")
            return
    if described is None or asked is None:
        return
    index = jax.ShapeDtypeStruct((_STORED, *described.shape), jnp.float32)
    valid, chunks = (jax.ShapeDtypeStruct((_STORED,), dtype) for dtype in (bool, jnp.int32))
    checks.returns("score", rule.score, (asked, index, valid), jax.ShapeDtypeStruct((_STORED,), jnp.float32))
    if isinstance(rule, PairwiseRule):
        pairs = jax.ShapeDtypeStruct((_STORED, _STORED), jnp.float32)
        checks.returns("between", rule.between, (index,), pairs)
    if isinstance(rule, ChoosingRule):
        slots, scores = (jax.ShapeDtypeStruct((2,), dtype) for dtype in (jnp.int32, jnp.float32))
        choose = lambda query, index, chunks, valid: rule.choose(query, index, chunks, valid, 2)  # noqa: E731
        checks.returns("choose", choose, (asked, index, chunks, valid), (slots, scores))


def _check_compression(checks: ShapeChecks, rule: Any, spec: KVSpec) -> None:
    tokens = spec.stored_frames * spec.tokens_per_frame
    keys: Any = jax.ShapeDtypeStruct((spec.layers, tokens, spec.heads, spec.head_dim), spec.dtype)
    scores = jax.ShapeDtypeStruct((spec.layers, tokens), jnp.float32) if needs_scores(rule) else None
    score = lambda span, scores: rule.score(span, scores, frames=spec.stored_frames)  # noqa: E731
    expected = jax.ShapeDtypeStruct((spec.layers, tokens), jnp.float32)
    checks.returns("score", score, (KVSpan(keys, keys), scores), expected, any_float=True)
