"""Similarity of keys to the anchor frame as a Pallas kernel for Mosaic GPU (Hopper and newer)."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu
from jaxtyping import Array, Float

from kernels_pallas.anchor_similarity.accumulate import Sums, accumulate
from kernels_pallas.anchor_similarity.reference import Partials, squared_norm
from kernels_pallas.blocks import block_start
from kernels_pallas.mosaic import interpret_options

ROWS = 64  # tokens a program handles: what the register layout of one warpgroup spans
SWIZZLE = 128  # bytes of a row per step: the widest span that shared memory can be read at without bank conflicts
STAGES = 6  # copies in flight; 8 KB each


def anchor_similarity(
    keys: Float[Array, "*B T N H"], anchor: Float[Array, "*B N H"], *, interpret: bool = False
) -> Partials:
    """Sum ``keys [..., T, N, H]`` against ``anchor [..., N, H]``; see the reference.

    Raises NotImplementedError below 64 tokens, or unless a token is a multiple of 128 bytes of bfloat16 or
    float32.
    """
    *leading, tokens, heads, head_dim = keys.shape
    width, groups = heads * head_dim, math.prod(leading)
    columns = SWIZZLE // keys.dtype.itemsize
    if tokens < ROWS or width % columns or keys.dtype not in (jnp.bfloat16, jnp.float32):
        raise NotImplementedError(
            f"got {tokens} tokens of {heads} x {head_dim} {keys.dtype}; "
            f"needs {ROWS} tokens of a multiple of {SWIZZLE} bytes, bfloat16 or float32"
        )
    anchor = anchor.astype(jnp.float32)
    layout = plgpu.Layout.WGMMA
    # Tiles one row high, because the last block may start at any row; wider tiles would tie starts to
    # multiples of 8.
    transforms = (plgpu.TilingTransform((1, columns)), plgpu.SwizzleTransform(SWIZZLE))

    def step(_: Any, key_ref: Any, anchor_ref: Any, sums: Sums) -> Sums:
        block = plgpu.layout_cast(key_ref[...], layout)
        vector = plgpu.layout_cast(anchor_ref[...], layout.reduce(0))
        return accumulate(sums, block, lax.broadcast_in_dim(vector, (ROWS, columns), [1]))

    def kernel(key_ref: Any, anchor_ref: Any, dot_ref: Any, key_sq_ref: Any) -> None:
        group = lax.axis_index("group")
        rows = pl.ds(block_start(lax.axis_index("block"), ROWS, tokens), ROWS)
        zeros = plgpu.layout_cast(jnp.zeros((ROWS,), jnp.float32), layout.reduce(1))
        dot_ref[group, rows], key_sq_ref[group, rows] = plgpu.emit_pipeline(
            step,
            grid=(width // columns,),
            in_specs=[
                plgpu.BlockSpec((ROWS, columns), lambda column: (0, column), transforms=transforms),
                plgpu.BlockSpec((columns,), lambda column: (column,)),
            ],
            max_concurrent_steps=STAGES,
            init_carry=(zeros, zeros),
        )(key_ref.at[group, rows], anchor_ref.at[group])

    sums = jax.ShapeDtypeStruct((groups, tokens), jnp.float32)
    dot, key_sq = plgpu.kernel(
        kernel,
        out_type=(sums, sums),
        grid=(groups, pl.cdiv(tokens, ROWS)),
        grid_names=("group", "block"),
        **interpret_options(interpret),
    )(keys.reshape(groups, tokens, width), anchor.reshape(groups, width))
    shape = (*leading, tokens)
    return Partials(dot.reshape(shape), key_sq.reshape(shape), squared_norm(anchor))
