"""Attention as JAX has it: the specification, and what XLA or cuDNN compiles."""

from typing import Literal

import jax


def attention(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    length: jax.Array | None,
    *,
    implementation: Literal["xla", "cudnn"] = "xla",
) -> jax.Array:
    """Attend ``query [B, T, N, H]`` to the first ``length [B]`` rows of ``key`` and ``value [B, W, G, H]``."""
    with jax.numpy_dtype_promotion("standard"):  # jax's own function mixes dtypes
        return jax.nn.dot_product_attention(
            query, key, value, key_value_seq_lengths=length, implementation=implementation
        )
