"""Weights in eight bits: kernels with a scale for each output, multiplied with activations that are rounded as well.

Each row of activations has a scale of its own, found on the fly, so that the chip multiplies eight bits with eight bits
and sums exactly (int8) or in float32 (fp8). Embeddings, norms, modulation, biases and head stay as they are.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from worldkv_jax.names import check_name

DTYPES = {"int8": jnp.int8, "fp8": jnp.float8_e4m3fn}
_LARGEST = {"int8": 127.0, "fp8": 448.0}


class Quantized(NamedTuple):
    """Numbers in eight bits: they are ``values * scale``."""

    values: jax.Array  # int8 or float8_e4m3fn; of a kernel [..., d_in, d_out], of activations [..., d]
    scale: jax.Array  # float32, of a kernel [..., 1, d_out], of activations [..., 1]

    @property
    def kind(self) -> str:
        """``"int8"`` or ``"fp8"``."""
        return "int8" if self.values.dtype == jnp.int8 else "fp8"


def quantize(kernel: jax.Array, weights: str) -> Quantized:
    """Round a kernel ``[..., d_in, d_out]`` to eight bits, ``"int8"`` or ``"fp8"``, with a scale for each output."""
    return _quantize(kernel, weights, axis=-2)


def quantize_rows(x: jax.Array, weights: str) -> Quantized:
    """Round activations ``[..., d]`` to eight bits, with a scale for each row."""
    return _quantize(x, weights, axis=-1)


def restore(x: jax.Array | Quantized) -> jax.Array:
    """Return numbers in float32, whether or not they are in eight bits."""
    return x.values.astype(jnp.float32) * x.scale if isinstance(x, Quantized) else x.astype(jnp.float32)


def multiply(x: jax.Array, kernel: Quantized) -> jax.Array:
    """Multiply rows ``x [n, d_in]``, rounded to the kernel's eight bits, by a kernel: ``[n, d_out]`` in x's dtype."""
    rows = quantize_rows(x, kernel.kind)
    # A CPU has no fast product of eight bits; that of the same numbers in float32 differs by its rounding alone.
    product = jax.lax.platform_dependent(
        *(rows.values, kernel.values),
        cpu=lambda a, b: a.astype(jnp.float32) @ b.astype(jnp.float32),
        default=_multiply_eight_bits,
    )
    return (product * rows.scale * kernel.scale).astype(x.dtype)


def quantize_blocks(params: dict, weights: str | None) -> dict:
    """Quantize the kernels of a transformer's blocks, one after another, each in the place of what it was made of.

    Args:
        params: of a Wan-style transformer; the kernels of its blocks are consumed.
        weights: ``"int8"``, ``"fp8"``, or ``None`` to return the parameters as they are.
    """
    if weights is None:
        return params
    check_name("eight-bit weights", weights, DTYPES)

    def consume(kernel):
        made = jax.block_until_ready(_quantize_stack(kernel, weights))
        kernel.delete()  # now and not when all are done: only so does a card need no room for both
        return made

    return _map_kernels(consume, params)


def quantized_shapes(abstract: dict, weights: str | None) -> dict:
    """Describe what `quantize_blocks` makes of parameters that are described as ``jax.ShapeDtypeStruct``."""
    if weights is None:
        return abstract
    return _map_kernels(lambda kernel: jax.eval_shape(lambda k: quantize(k, weights), kernel), abstract)


def _map_kernels(apply, params: dict) -> dict:
    def change(path, leaf):
        return apply(leaf) if path[-1].key == "kernel" else leaf

    return {**params, "blocks": jax.tree.map_with_path(change, params["blocks"])}


def _multiply_eight_bits(a: jax.Array, b: jax.Array) -> jax.Array:
    total = jnp.int32 if a.dtype == jnp.int8 else jnp.float32
    return jax.lax.dot(a, b, preferred_element_type=total).astype(jnp.float32)


def _quantize(x: jax.Array, weights: str, *, axis: int) -> Quantized:
    x = x.astype(jnp.float32)
    scale = jnp.max(jnp.abs(x), axis=axis, keepdims=True) / _LARGEST[weights]
    scale = jnp.where(scale > 0, scale, jnp.ones_like(scale))
    return Quantized(_round(x / scale, weights), scale)


def _round(x: jax.Array, weights: str) -> jax.Array:
    if weights == "int8":
        return jnp.round(x).astype(jnp.int8)
    return jnp.clip(x, -_LARGEST[weights], _LARGEST[weights]).astype(jnp.float8_e4m3fn)  # it has no infinity


# Layer by layer: all of a stack in float32 would be four times as large as the result.
_quantize_stack = jax.jit(
    lambda kernel, weights: jax.lax.map(lambda layer: quantize(layer, weights), kernel),
    static_argnums=1,
)
