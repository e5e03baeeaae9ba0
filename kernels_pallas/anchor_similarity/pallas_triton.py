"""Similarity of keys to the anchor frame as a Pallas kernel for Triton."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton as plt
from jaxtyping import Array, Float

from kernels_pallas.anchor_similarity.accumulate import Sums, accumulate
from kernels_pallas.anchor_similarity.reference import Partials, squared_norm
from kernels_pallas.blocks import block_start, check_offsets, power_of_two_divisor

ROWS = 16  # tokens a program handles; larger blocks make Triton's compile time explode
COLUMNS = 128  # at most, of the N * H numbers of a token, per step


def kernel(key_ref: Any, anchor_ref: Any, dot_ref: Any, key_sq_ref: Any, *, columns: int) -> None:
    """Sum one block of rows of ``[T, N * H]`` keys, a few columns at a time."""
    tokens, width = key_ref.shape
    rows = pl.ds(block_start(pl.program_id(1), ROWS, tokens), ROWS)

    def step(index: jax.Array, sums: Sums) -> Sums:
        at = pl.ds(index * columns, columns)
        return accumulate(sums, key_ref[rows, at], anchor_ref[at][None, :])

    zeros = jnp.zeros((ROWS,), jnp.float32)
    dot_ref[rows], key_sq_ref[rows] = lax.fori_loop(0, width // columns, step, (zeros, zeros))


def anchor_similarity(
    keys: Float[Array, "*B T N H"], anchor: Float[Array, "*B N H"], *, interpret: bool = False
) -> Partials:
    """Sum ``keys [..., T, N, H]`` against ``anchor [..., N, H]``; see the reference.

    Raises NotImplementedError below 16 tokens, or unless 16 divides ``N * H``.
    """
    *leading, tokens, heads, head_dim = keys.shape
    width, groups = heads * head_dim, math.prod(leading)
    columns = power_of_two_divisor(width, COLUMNS)
    if tokens < ROWS or columns < 16:
        raise NotImplementedError(f"got {tokens} tokens of {heads} x {head_dim}; needs {ROWS} and a multiple of 16")
    check_offsets(keys)
    anchor = anchor.astype(jnp.float32)
    sums = jax.ShapeDtypeStruct((groups, tokens), jnp.float32)
    dot, key_sq = pl.pallas_call(
        functools.partial(kernel, columns=columns),
        grid=(groups, pl.cdiv(tokens, ROWS)),
        in_specs=[
            pl.BlockSpec((None, tokens, width), lambda group, block: (group, 0, 0)),
            pl.BlockSpec((None, width), lambda group, block: (group, 0)),
        ],
        out_specs=[pl.BlockSpec((None, tokens), lambda group, block: (group, 0))] * 2,
        out_shape=(sums, sums),
        compiler_params=plt.CompilerParams(num_warps=4),
        interpret=interpret,
        name="anchor_similarity",
    )(keys.reshape(groups, tokens, width), anchor.reshape(groups, width))
    shape = (*leading, tokens)
    return Partials(dot.reshape(shape), key_sq.reshape(shape), squared_norm(anchor))
