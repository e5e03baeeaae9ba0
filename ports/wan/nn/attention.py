"""The one attention function: a chunk's queries over its own keys and a packed memory context."""

import jax
import jax.numpy as jnp

from kernels_pallas.attention import attention as attend
from ports.wan.sharding import over_heads


def attention(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    *,
    length: jax.Array | None = None,
    mask: jax.Array | None = None,
) -> jax.Array:
    """Attend ``query`` to the first ``length`` rows of ``key`` and ``value``.

    Args:
        query: ``[B, T, N, H]``.
        key, value: ``[B, W, N, H]``.
        length: int32 scalar or ``[B]``, valid rows of ``key``; ``None`` for all.
        mask: bool ``[B, T, W]``, true where attention is allowed; training only.

    Returns:
        ``[B, T, N, H]`` in the dtype of ``query``.
    """
    if mask is not None:
        return _masked_attention(query, key, value, mask)
    if length is not None:
        length = jnp.broadcast_to(length, query.shape[:1])
    return over_heads(lambda q, k, v, n: attend(q, k, v, length=n), query, key, value, length)


def _masked_attention(query, key, value, mask):
    """Attend sample by sample and recompute in the backward pass: three times as fast on a CPU.

    The logits of one sample stay in cache, those of a batch do not; dividing by the softmax's sum after
    the product with the values touches ``[T, H]`` numbers instead of ``[T, W]``.
    """

    @jax.checkpoint
    def one_sample(inputs):
        q, k, v, m = inputs
        logits = jnp.einsum("tnh,wnh->ntw", q * q.shape[-1] ** -0.5, k, preferred_element_type=jnp.float32)
        logits = jnp.where(m, logits, -1e9)
        weights = jnp.exp(logits - jax.lax.stop_gradient(logits.max(axis=-1, keepdims=True)))
        mixed = jnp.einsum("ntw,wnh->tnh", weights.astype(v.dtype), v, preferred_element_type=jnp.float32)
        return (mixed / weights.sum(axis=-1).T[..., None]).astype(q.dtype)

    return jax.lax.map(one_sample, (query, key, value, mask))
