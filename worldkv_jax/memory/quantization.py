"""How the bank writes keys and values: in the model's dtype, as its bits, or in eight bits.

The latter have a scale for each head of a token: its norm and the outliers of one head then never cost another one its
precision.
"""

import functools
import math
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float32, Integer

from worldkv_jax.memory.spans import KVSpan

Storage = Literal["model", "bits", "int8", "float8"]
STORAGES: tuple[Storage, ...] = ("model", "bits", "int8", "float8")

_INT8_LARGEST, _FLOAT8_LARGEST = 127.0, 448.0


class Quantized(NamedTuple):
    """Keys or values in eight bits: they are ``values * scale``."""

    values: Integer[Array, "... tokens N H"]  # int8, or uint8 that holds the bits of float8_e4m3fn
    scale: Float32[Array, "... tokens N 1"]


def quantize(span: KVSpan, storage: Storage, dtype: str) -> KVSpan:
    """Turn keys and values ``[..., tokens, N, H]`` into what the bank holds; ``dtype`` is the model's.

    Raises:
        ValueError: differentiated as bits, which have no gradient, or in eight bits, where only the scale, and so the
            largest number, would have one.
    """
    if storage == "model":
        return jax.tree.map(lambda x: x.astype(dtype), span)
    span = jax.tree.map(lambda x: _refuse_gradient(x, storage), span)
    if storage == "bits":
        return jax.tree.map(lambda x: jax.lax.bitcast_convert_type(x.astype(dtype), _bits(dtype)), span)
    to_eight_bits = _to_int8 if storage == "int8" else _to_float8
    return jax.tree.map(lambda x: to_eight_bits(x.astype(jnp.float32)), span)


def dequantize(stored: KVSpan, dtype: str) -> KVSpan:
    """Turn what `quantize` made back into keys and values in ``dtype``; nothing if they are in that already."""
    return KVSpan(*(_restore(x, dtype) for x in stored))


def stored_shape(shape: tuple[int, ...], storage: Storage, dtype: str) -> KVSpan:
    """Describe what `quantize` makes of keys and values of shape ``[..., tokens, N, H]``, as `jax.ShapeDtypeStruct`."""
    shape_of: Any = jax.ShapeDtypeStruct  # in place of an array
    if storage in ("model", "bits"):
        one = shape_of(shape, jnp.dtype(dtype) if storage == "model" else _bits(dtype))
    else:
        values = shape_of(shape, jnp.int8 if storage == "int8" else jnp.uint8)
        one: Any = Quantized(values, shape_of((*shape[:-1], 1), jnp.float32))
    return KVSpan(one, one)


def stored_bytes(shape: tuple[int, ...], storage: Storage, dtype: str) -> int:
    """Count the bytes of what `quantize` makes of keys and values of shape ``[..., tokens, N, H]``."""
    leaves = jax.tree.leaves(stored_shape(shape, storage, dtype))
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in leaves)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _refuse_gradient(x: jax.Array, storage: Storage) -> jax.Array:
    """Return ``x``; whoever differentiates it is told what to do."""
    return x


@_refuse_gradient.defjvp
def _refuse(storage: Storage, primals: Any, tangents: Any) -> Any:
    raise ValueError(
        f"bank.storage={storage!r} keeps keys and values as whole numbers, which no gradient passes: train with "
        "storage='model', or remember jax.lax.stop_gradient(own)"
    )


def _to_int8(x: jax.Array) -> Quantized:
    scale = _scale(x, _INT8_LARGEST)
    return Quantized(jnp.round(x / scale).astype(jnp.int8), scale)


def _to_float8(x: jax.Array) -> Quantized:
    scale = _scale(x, _FLOAT8_LARGEST)
    values = jnp.clip(x / scale, -_FLOAT8_LARGEST, _FLOAT8_LARGEST)  # it has no infinity: beyond is not a number
    # As bits: XLA on CPU updates no float8 buffer in place, and not every file format has the type.
    return Quantized(jax.lax.bitcast_convert_type(values.astype(jnp.float8_e4m3fn), jnp.uint8), scale)


def _restore(stored: jax.Array | Quantized, dtype: str) -> jax.Array:
    if not isinstance(stored, Quantized):
        return jax.lax.bitcast_convert_type(stored, jnp.dtype(dtype)) if stored.dtype == _bits(dtype) else stored
    values = stored.values
    if values.dtype == jnp.uint8:
        values = jax.lax.bitcast_convert_type(values, jnp.float8_e4m3fn)
    return (values.astype(jnp.float32) * stored.scale).astype(dtype)


def _bits(dtype: str) -> jnp.dtype:
    return jnp.dtype(f"uint{8 * jnp.dtype(dtype).itemsize}")


def _scale(x: jax.Array, largest: float) -> jax.Array:
    scale = jnp.max(jnp.abs(x), axis=-1, keepdims=True) / largest
    return jnp.where(scale > 0, scale, jnp.ones_like(scale))
