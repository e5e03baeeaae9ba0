"""What every model that embeds the memory does with a context: attend to it and to the chunk itself."""

import jax
import jax.numpy as jnp

from kernels_pallas.attention import attention
from worldkv_jax.memory.context import Context
from worldkv_jax.memory.spans import KVSpan, concatenate


def attend(query: jax.Array, own: KVSpan, context: Context, layer: int | jax.Array) -> jax.Array:
    """Attend to the chunk's own tokens and to all that the context holds of one layer.

    Args:
        query: ``[B, T, M, H]`` after RoPE; ``M`` is ``N`` or, for grouped queries, a multiple of it.
        own: keys after RoPE and values of the chunk in this layer, ``[B, T, N, H]``.
        context: from `recall`.
        layer: which of its layers; may be traced, as in a scan over layers.

    Returns:
        ``[B, T, M, H]`` in the dtype of ``query``.

    Raises:
        ValueError: shapes that do not fit.
    """
    past = context.of_layer(jax.tree.map(lambda a: a[layer], context.layers))
    past = jax.tree.map(lambda a: a.astype(query.dtype), past)
    own_first = concatenate([own, *past])
    length = own.keys.shape[1] + context.length
    if context.hides_own is None:
        return attention(query, *own_first, length=length)
    own_last = concatenate([*past, own])
    keys, values = jax.tree.map(lambda a, b: jnp.where(context.hides_own, a, b), own_last, own_first)
    return attention(query, keys, values, length=jnp.where(context.hides_own, context.length, length))
