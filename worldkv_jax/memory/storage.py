"""How the bank writes keys and values: in the model's dtype, or in eight bits with a scale for each head of a token.

A token's norm and the outliers of one head then never cost another one its precision.
"""

import math
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from worldkv_jax.memory.spans import KVSpan

Storage = Literal["model", "int8", "float8"]

_SCALE = jnp.bfloat16  # numbers are rounded to the scale that is stored, so its own rounding costs nothing
_EIGHT_BITS = {"int8": (jnp.int8, 127), "float8": (jnp.float8_e4m3fn, 448)}  # dtype and largest number


class EightBit(NamedTuple):
    """Keys or values in eight bits: they are ``numbers * scale``."""

    numbers: jax.Array  # [..., tokens, N, H] int8 or float8
    scale: jax.Array  # [..., tokens, N, 1] bfloat16


def pack(span: KVSpan, storage: Storage, dtype: str) -> KVSpan:
    """Turn keys and values ``[..., tokens, N, H]`` into what the bank holds; ``dtype`` is the model's."""
    if storage == "model":
        return jax.tree.map(lambda x: x.astype(dtype), span)
    return KVSpan(*(_quantise(x, *_EIGHT_BITS[storage]) for x in span))


def unpack(stored: KVSpan, dtype: str) -> KVSpan:
    """Turn what `pack` made back into keys and values in ``dtype``; nothing if they are not in eight bits."""
    return KVSpan(*(_restore(x, dtype) if isinstance(x, EightBit) else x for x in stored))


def packed_shape(shape: tuple[int, ...], storage: Storage, dtype: str) -> KVSpan:
    """Describe what `pack` makes of keys and values of shape ``[..., tokens, N, H]``, as `jax.ShapeDtypeStruct`."""
    one = jax.ShapeDtypeStruct(shape, jnp.dtype(dtype))
    if storage != "model":
        numbers = jax.ShapeDtypeStruct(shape, _EIGHT_BITS[storage][0])
        one = EightBit(numbers, jax.ShapeDtypeStruct((*shape[:-1], 1), _SCALE))
    return KVSpan(one, one)


def packed_bytes(shape: tuple[int, ...], storage: Storage, dtype: str) -> int:
    """Count the bytes of what `pack` makes of keys and values of shape ``[..., tokens, N, H]``."""
    leaves = jax.tree.leaves(packed_shape(shape, storage, dtype))
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in leaves)


def _quantise(x: jax.Array, dtype, largest: int) -> EightBit:
    x = x.astype(jnp.float32)
    scale = (jnp.max(jnp.abs(x), axis=-1, keepdims=True) / largest).astype(_SCALE)
    scale = jnp.where(scale > 0, scale, jnp.ones_like(scale))
    numbers = jnp.clip(x / scale.astype(jnp.float32), -largest, largest)  # beyond its largest, float8 has no number
    if jnp.issubdtype(dtype, jnp.integer):
        numbers = jnp.round(numbers)
    return EightBit(numbers.astype(dtype), scale)


def _restore(stored: EightBit, dtype: str) -> jax.Array:
    return (stored.numbers.astype(jnp.float32) * stored.scale.astype(jnp.float32)).astype(dtype)
