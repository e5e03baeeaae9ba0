"""Attention as JAX has it: the specification, and what XLA or cuDNN compiles."""

from typing import Literal

import jax
from jaxtyping import Array, Float, Int32


def attention(
    query: Float[Array, "B T N H"],
    key: Float[Array, "B W G H"],
    value: Float[Array, "B W G H"],
    length: Int32[Array, " B"] | None,
    *,
    implementation: Literal["xla", "cudnn"] = "xla",
) -> Float[Array, "B T N H"]:
    """Attend ``query [B, T, N, H]`` to the first ``length [B]`` rows of ``key`` and ``value [B, W, G, H]``."""
    with jax.numpy_dtype_promotion("standard"):  # jax's own function mixes dtypes
        return jax.nn.dot_product_attention(
            query, key, value, key_value_seq_lengths=length, implementation=implementation
        )
