"""Gathering the kept tokens as a Pallas kernel for Triton."""

import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton as plt
from jaxtyping import Array, Int32, Shaped

from kernels_pallas.blocks import block_start, check_offsets, power_of_two_below, power_of_two_divisor

ROWS = 16  # tokens a program moves, at most
COLUMNS = 128  # at most, of the N * H numbers of a token, per step


def kernel(index_ref: Any, *refs: Any, rows: int) -> None:
    """Move one block of tokens of every array, a few columns at a time."""
    start = block_start(pl.program_id(1), rows, index_ref.shape[0])
    out_rows = pl.ds(start, rows)
    tokens = index_ref[out_rows][:, None]
    sources, targets = refs[: len(refs) // 2], refs[len(refs) // 2 :]
    for source, target in zip(sources, targets, strict=True):
        width = source.shape[1]
        columns = power_of_two_divisor(width, COLUMNS)

        def step(index: jax.Array, _: None, source: Any = source, target: Any = target, columns: int = columns) -> None:
            # Whole index grids, because an index may not mix arrays with slices.
            at_row = jnp.broadcast_to(tokens, (rows, columns))
            at_column = lax.broadcasted_iota(jnp.int32, (rows, columns), 1) + index * columns
            target[out_rows, pl.ds(index * columns, columns)] = plt.load(source.at[at_row, at_column])

        lax.fori_loop(0, width // columns, step, None)


def compact(
    arrays: Sequence[Shaped[Array, "*B T N H"]], indices: Int32[Array, "*B P"], *, interpret: bool = False
) -> tuple[Shaped[Array, "*B P N H"], ...]:
    """Take the tokens at ``indices [..., P]`` from each ``[..., T, N, H]``; see the reference."""
    *leading, picks = indices.shape
    groups = math.prod(leading)
    for x in arrays:
        check_offsets(x)

    def whole(*shape: int) -> pl.BlockSpec:
        return pl.BlockSpec((None, *shape), lambda group, block: (group, *[0] * len(shape)))

    widths = [math.prod(x.shape[-2:]) for x in arrays]
    rows = power_of_two_below(picks, ROWS)
    moved = pl.pallas_call(
        functools.partial(kernel, rows=rows),
        grid=(groups, pl.cdiv(picks, rows)),
        in_specs=[
            whole(picks),
            *(whole(x.shape[-3], width) for x, width in zip(arrays, widths, strict=True)),
        ],
        out_specs=[whole(picks, width) for width in widths],
        out_shape=[
            jax.ShapeDtypeStruct((groups, picks, width), x.dtype) for x, width in zip(arrays, widths, strict=True)
        ],
        compiler_params=plt.CompilerParams(num_warps=4),
        interpret=interpret,
        name="compact",
    )(
        indices.reshape(groups, picks),
        *(x.reshape(groups, x.shape[-3], width) for x, width in zip(arrays, widths, strict=True)),
    )
    return tuple(y.reshape(*leading, picks, *x.shape[-2:]) for x, y in zip(arrays, moved, strict=True))
