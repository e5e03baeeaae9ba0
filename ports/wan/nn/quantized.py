"""Weights in eight bits: kernels with a scale for each output, multiplied with activations that are rounded as well.

Each row of activations has a scale of its own, found on the fly, so that the chip multiplies eight bits with eight bits
and sums exactly (int8) or in float32 (fp8). Embeddings, norms, modulation, biases and head stay as they are.

Where fp8 is asked for, what the camera makes of a chunk is in int8 all the same. It is computed once and kept, so that
no speed depends on it; and it scales and shifts the residual stream itself, where the sixteenth by which fp8 may be off
costs more than in all products together.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from worldkv_jax.names import check_name

DTYPES = {"int8": jnp.int8, "fp8": jnp.float8_e4m3fn}
_CAMERA = "camera"
_LARGEST = {"int8": float(jnp.iinfo(jnp.int8).max), "fp8": float(jnp.finfo(jnp.float8_e4m3fn).max)}


class Quantized(NamedTuple):
    """Rows in eight bits: they are ``values * scale``. A kernel's are its outputs: it is held transposed."""

    values: jax.Array  # [..., d] int8 or float8_e4m3fn; of a kernel [..., d_out, d_in]
    scale: jax.Array  # [..., 1] float32

    @property
    def kind(self) -> str:
        """``"int8"`` or ``"fp8"``."""
        return "int8" if self.values.dtype == jnp.int8 else "fp8"


def quantize_rows(x: jax.Array, kind: str) -> Quantized:
    """Round rows ``[..., d]`` to eight bits, ``"int8"`` or ``"fp8"``, with a scale for each."""
    x, largest = x.astype(jnp.float32), _LARGEST[kind]
    # By reciprocals, as XLA itself would write it: so a conversion, which has no XLA, finds the same bits.
    scale = jnp.max(jnp.abs(x), axis=-1, keepdims=True) * (np.float32(1) / np.float32(largest))
    scale = jnp.where(scale > 0, scale, jnp.ones_like(scale))
    x = x * (1 / scale)
    if kind == "int8":
        return Quantized(jnp.round(x).astype(jnp.int8), scale)
    return Quantized(jnp.clip(x, -largest, largest).astype(jnp.float8_e4m3fn), scale)  # it has no infinity


def quantize_kernel(kernel: jax.Array, kind: str) -> Quantized:
    """Round a kernel ``[..., d_in, d_out]`` to eight bits with a scale for each output.

    Inputs lie side by side, as a GPU's products of eight bits read them: XLA would copy all weights to have it so.
    """
    return quantize_rows(jnp.swapaxes(kernel, -1, -2), kind)


def restore(x: jax.Array | Quantized) -> jax.Array:
    """Return rows in float32, whether or not they are in eight bits."""
    return x.values.astype(jnp.float32) * x.scale if isinstance(x, Quantized) else x.astype(jnp.float32)


def multiply(x: jax.Array, kernel: Quantized) -> jax.Array:
    """Multiply rows ``x [n, d_in]``, rounded to the kernel's eight bits, by the kernel: ``[n, d_out]`` in x's dtype."""
    rows = quantize_rows(x, kernel.kind)
    # A CPU has no fast product of eight bits; that of the same numbers in float32 differs by its rounding alone.
    product = jax.lax.platform_dependent(
        *(rows.values, kernel.values),
        cpu=lambda a, b: a.astype(jnp.float32) @ b.astype(jnp.float32).T,
        default=_multiply_eight_bits,
    )
    return (product * rows.scale * kernel.scale.T).astype(x.dtype)


def quantize_blocks(params: dict, kind: str | None) -> dict:
    """Quantize the kernels of a transformer's blocks, one after another, each in the place of what it was made of.

    Args:
        params: of a Wan-style transformer; the kernels of its blocks are consumed.
        kind: ``"int8"``, ``"fp8"``, or ``None`` to return the parameters as they are; as are those that are so already.
    """
    if kind is None:
        return params
    check_name("eight-bit weights", kind, DTYPES)

    def consume(kernel, kind):
        made = jax.block_until_ready(_quantize_stack(kernel, kind))
        kernel.delete()  # now and not when all are done: only so does a card need no room for both
        return made

    return _map_kernels(consume, params, kind)


def quantized_shapes(abstract: dict, kind: str | None) -> dict:
    """Describe what `quantize_blocks` makes of parameters that are described as ``jax.ShapeDtypeStruct``."""
    if kind is None:
        return abstract
    return _map_kernels(lambda kernel, kind: jax.eval_shape(lambda k: quantize_kernel(k, kind), kernel), abstract, kind)


def _map_kernels(apply, params: dict, kind: str) -> dict:
    def change(path, leaf):
        if path[-1].key != "kernel" or is_quantized(leaf):
            return leaf
        return apply(leaf, "int8" if path[0].key == _CAMERA else kind)

    def is_quantized(node):
        return isinstance(node, Quantized)

    return {**params, "blocks": jax.tree.map_with_path(change, params["blocks"], is_leaf=is_quantized)}


def _multiply_eight_bits(a: jax.Array, b: jax.Array) -> jax.Array:
    total = jnp.int32 if a.dtype == jnp.int8 else jnp.float32
    return jax.lax.dot_general(a, b, (((1,), (1,)), ((), ())), preferred_element_type=total).astype(jnp.float32)


# Layer by layer: all of a stack in float32 would be four times as large as the result.
_quantize_stack = jax.jit(
    lambda kernel, kind: jax.lax.map(lambda layer: quantize_kernel(layer, kind), kernel), static_argnums=1
)
