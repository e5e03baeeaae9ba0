"""World Retrieval: what a rule is, and how chunks are chosen by one.

A rule reduces a chunk to a short description once, when it is stored, and scores all descriptions against the
one of the next chunk. Rules are frozen dataclasses: pass one of your own wherever a rule's name is accepted. One that
carries arrays, such as learned weights, is a pytree as well (`jax.tree_util.register_dataclass`): its arrays are given
with every call, as ``rule=`` of `recall` and `remember`.
"""

from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Float32, Int32


@runtime_checkable
class Rule(Protocol):
    """A hashable retrieval rule; all methods are pure and see one world."""

    def describe(self, view: Any, keys: Float[Array, "L T N H"], /) -> Float32[Array, " D"]:
        """Reduce a finished chunk (cameras ``[F, 4, 4]``, keys ``[L, T, N, H]``) to float32 ``[D]``."""
        ...

    def describe_query(self, view: Any, query: Float[Array, "L N H"] | None, /) -> Float32[Array, " D"]:
        """Reduce the next chunk (cameras, perhaps mean queries ``[L, N, H]``) to float32 ``[D]``."""
        ...

    def score(
        self, query: Float32[Array, " D"], index: Float32[Array, "C D"], valid: Bool[Array, " C"], /
    ) -> Float32[Array, " C"]:
        """Score descriptions ``[C, D]`` against the query's ``[D]``: float32 ``[C]``, lower is nearer."""
        ...


@runtime_checkable
class QueryRule(Rule, Protocol):
    """A rule that looks at what the next chunk would attend to."""

    needs_query: bool
    """Whether `describe_query` is to be given the mean queries of a first pass over the chunk."""


@runtime_checkable
class ViewRule(Rule, Protocol):
    """A rule that finds chunks by something else than one camera a frame: map cells, two cameras, embeddings."""

    view: Any
    """What it is given of each frame, a pytree of `jax.ShapeDtypeStruct`; all leaves of a chunk's view have the leading
    axes ``[B, F]``, and the rule sees ``[F]``."""


@runtime_checkable
class PairwiseRule(Rule, Protocol):
    """A rule whose scores of two calls cannot be compared, because they are relative to the candidates.

    A bank that drops the most redundant chunk needs scores on one scale.
    """

    def between(self, index: Float32[Array, "C D"]) -> Float32[Array, "C C"]:
        """Score all stored chunks, descriptions ``[C, D]``, against each other: float32 ``[C, C]``."""
        ...


@runtime_checkable
class ChoosingRule(Rule, Protocol):
    """A rule whose picks depend on each other or on the chunks' ids, so that the lowest scores are not the choice."""

    def choose(
        self,
        query: Float32[Array, " D"],
        index: Float32[Array, "C D"],
        chunks: Int32[Array, " C"],
        valid: Bool[Array, " C"],
        k: int,
    ) -> tuple[Int32[Array, " k"], Float32[Array, " k"]]:
        """Choose up to ``k`` slots, see `choose`; what it returns is ordered as that of `nearest`."""
        ...


def needs_query(rule: Rule) -> bool:
    """Tell whether a rule looks at the next chunk's queries and not only at its cameras."""
    return isinstance(rule, QueryRule) and rule.needs_query


def view_of(rule: Rule) -> Any:
    """Describe what a rule is given of each frame, as `ViewRule.view`: one camera, unless it says otherwise."""
    return rule.view if isinstance(rule, ViewRule) else jax.ShapeDtypeStruct((4, 4), jnp.float32)


def choose(
    rule: Rule,
    query: Float32[Array, " D"],
    index: Float32[Array, "C D"],
    chunks: Int32[Array, " C"],
    valid: Bool[Array, " C"],
    k: int,
) -> tuple[Int32[Array, " k"], Float32[Array, " k"]]:
    """Choose up to ``k`` slots by a rule: those of lowest score, or as a `ChoosingRule` says.

    Args:
        rule: the rule.
        query: description ``[D]`` of the next chunk.
        index: descriptions ``[C, D]``.
        chunks: int32 ``[C]`` chunk id of each slot.
        valid: bool ``[C]``, candidates.
        k: how many.

    Returns:
        As `nearest`.
    """
    if isinstance(rule, ChoosingRule):
        return rule.choose(query, index, chunks, valid, k)
    return nearest(rule.score(query, index, valid), chunks, valid, k)


def distances_between(rule: Rule, index: Float32[Array, "C D"]) -> Float32[Array, "C C"]:
    """Score all descriptions ``[C, D]`` against each other: float32 ``[C, C]``, comparable between rows."""
    if isinstance(rule, PairwiseRule):
        return rule.between(index)
    everything = jnp.ones(index.shape[0], bool)
    return jax.lax.map(lambda one: rule.score(one, index, everything), index)


def nearest(
    scores: Float32[Array, " C"], chunks: Int32[Array, " C"], valid: Bool[Array, " C"], k: int
) -> tuple[Int32[Array, " k"], Float32[Array, " k"]]:
    """Choose the ``k`` slots of lowest score; equal scores go to the lowest chunk id.

    Args:
        scores: float32 ``[C]``.
        chunks: int32 ``[C]`` chunk id of each slot.
        valid: bool ``[C]``, candidates.
        k: how many.

    Returns:
        Slots int32 ``[k]``, candidates first and nearest first, and their scores (infinite for the rest).
    """
    scores = jnp.where(valid, scores, jnp.inf)
    slots = jnp.arange(scores.shape[0], dtype=jnp.int32)
    # The chunk id as second key makes the order total, so slot order and backend do not matter.
    scores, _, slots = jax.lax.sort((scores, jnp.where(valid, chunks, jnp.iinfo(jnp.int32).max), slots), num_keys=2)
    return slots[:k], scores[:k]
