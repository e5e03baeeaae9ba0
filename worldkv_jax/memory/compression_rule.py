"""World Compression by a rule of one's own: what such a rule is."""

from typing import Any, Protocol, runtime_checkable

from jaxtyping import Array, Float, Float32

from worldkv_jax.memory.spans import KVSpan


@runtime_checkable
class CompressionRule(Protocol):
    """Tells which tokens of a chunk are worth keeping; hashable and pure, and sees one world.

    A frozen dataclass, given as ``CompressionConfig(rule=...)``. One that carries arrays, such as learned weights, is a
    pytree as well, and is given again as ``compression_rule=`` of `remember`. Inside `jax.shard_map` with heads split
    it sees the heads of its device, and has to sum over the axis by itself.
    """

    def score(self, span: KVSpan, scores: Float[Array, "L T"] | None, /, *, frames: int) -> Float32[Array, "L T"]:
        """Score the tokens of a chunk, the highest stay.

        Args:
            span: keys after RoPE and values ``[L, T, N, H]``.
            scores: ``[L, T]`` that `remember` was given, such as the attention that each token received.
            frames: frames of the chunk; ``T`` is so many whole ones.

        Returns:
            float32 ``[L, T]``.
        """
        ...


@runtime_checkable
class ScoresRule(CompressionRule, Protocol):
    """A rule that looks at what the model gives its tokens, `remember(..., scores=)`."""

    needs_scores: bool
    """Whether it does."""


def needs_scores(rule: Any) -> bool:
    """Tell whether a compression rule wants the scores that the model gives its tokens."""
    return isinstance(rule, ScoresRule) and rule.needs_scores
