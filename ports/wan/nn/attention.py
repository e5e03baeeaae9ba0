"""The one attention function: a chunk's queries over its own keys and a packed memory context."""

import jax
import jax.numpy as jnp

from kernels_pallas.attention import attention as attend
from ports.wan.sharding import over_heads, over_tokens


def attention(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    *,
    length: jax.Array | None = None,
    few_rows: bool = False,
) -> jax.Array:
    """Attend ``query`` to the first ``length`` rows of ``key`` and ``value``.

    Args:
        query: ``[B, T, N, H]``.
        key, value: ``[B, W, N, H]``.
        length: int32 scalar or ``[B]``, valid rows of ``key``; ``None`` for all.
        few_rows: whether each of several devices may have all of ``key`` and ``value`` for its own tokens.

    Returns:
        ``[B, T, N, H]`` in the dtype of ``query``.
    """
    if length is not None:
        length = jnp.broadcast_to(length, query.shape[:1])
    apart = over_tokens if few_rows else over_heads
    return apart(lambda q, k, v, n: attend(q, k, v, length=n), query, key, value, length)
