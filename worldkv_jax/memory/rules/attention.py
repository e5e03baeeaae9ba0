"""Attention: chunks that the model itself would look at, by a first pass over the next chunk."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Float32


@dataclasses.dataclass(frozen=True, kw_only=True)
class AttentionScore:
    """Mean attention logit between the next chunk's mean query and a stored chunk's mean key.

    Ours: the paper's appendix has an attention-based rule whose formula is not public. The mean logit is a
    lower bound of the logarithm of the attention mass that the chunk would draw, up to a constant. The mean
    queries come from a first pass over the chunk: see ``AttentionProbe.attention_queries``.
    """

    axis_name: str | None = None
    """Axis of the mesh that heads are split over, inside `jax.shard_map` alone: logits are summed over it."""

    needs_query = True  # not annotated: a constant, no field

    def describe(self, cameras: Float[Array, "F 4 4"], keys: Float[Array, "L T N H"]) -> Float32[Array, " D"]:
        """Average the keys of a finished chunk over its tokens."""
        return keys.astype(jnp.float32).mean(axis=1).reshape(-1)

    def describe_query(
        self, cameras: Float[Array, "F 4 4"], query: Float[Array, "L N H"] | None
    ) -> Float32[Array, " D"]:
        """Take the mean queries of the next chunk."""
        if query is None:
            raise ValueError(
                "the attention rule needs the next chunk's mean queries [L, B, N, H]: pass query=... to recall, "
                "or use a backbone that has an `attention_queries` method"
            )
        return query.astype(jnp.float32).reshape(-1)

    def score(
        self, query: Float32[Array, " D"], index: Float32[Array, "C D"], valid: Bool[Array, " C"]
    ) -> Float32[Array, " C"]:
        """Score by the negative mean logit."""
        logits = jnp.sum(index * query[None], axis=-1)
        return -logits if self.axis_name is None else -jax.lax.psum(logits, self.axis_name)
