"""Gathering the kept tokens as a Pallas kernel for Mosaic GPU (Hopper and newer): bulk copies only."""

import math
from collections.abc import Sequence
from typing import Any

import jax
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu
from jaxtyping import Array, Int32, Shaped

from kernels_pallas.blocks import block_start
from kernels_pallas.mosaic import interpret_options

SHARED_BYTES = 64 * 1024  # per program, so that three share a multiprocessor and hide each other's latency
ROWS = 16  # tokens a program moves, at most
COPY_EXTENT = 256  # the most a bulk copy takes along one dimension


def compact(
    arrays: Sequence[Shaped[Array, "*B T N H"]], indices: Int32[Array, "*B P"], *, interpret: bool = False
) -> tuple[Shaped[Array, "*B P N H"], ...]:
    """Take the tokens at ``indices [..., P]`` from each ``[..., T, N, H]``; see the reference.

    Raises NotImplementedError unless ``N`` and ``H`` are at most 256, a head is a multiple of 16 bytes and a
    token one of 128.
    """
    *leading, picks = indices.shape
    groups, count = math.prod(leading), len(arrays)
    token_bytes = [math.prod(x.shape[-2:]) * x.dtype.itemsize for x in arrays]
    for x, size in zip(arrays, token_bytes, strict=True):
        heads, head_dim = x.shape[-2:]
        if max(heads, head_dim) > COPY_EXTENT or head_dim * x.dtype.itemsize % 16 or size % 128:
            raise NotImplementedError(
                f"got tokens of {heads} x {head_dim} {x.dtype}; needs heads and head dim of at most "
                f"{COPY_EXTENT}, heads of a multiple of 16 bytes, tokens of a multiple of 128 bytes"
            )
    rows = max(1, min(ROWS, picks, SHARED_BYTES // sum(token_bytes)))

    def kernel(index_ref: Any, *refs: Any) -> None:
        sources, targets, buffers = refs[:count], refs[count : 2 * count], refs[2 * count : 3 * count]
        arrived = refs[-1]
        group = lax.axis_index("group")
        start = block_start(lax.axis_index("block"), rows, picks)
        for row in range(rows):
            token = index_ref[group, start + row]
            for source, buffer in zip(sources, buffers, strict=True):
                plgpu.copy_gmem_to_smem(source.at[group, token], buffer.at[row], arrived)
        plgpu.barrier_wait(arrived)
        for buffer, target in zip(buffers, targets, strict=True):
            plgpu.copy_smem_to_gmem(buffer, target.at[group, pl.ds(start, rows)])
        plgpu.wait_smem_to_gmem(0)

    moved = plgpu.kernel(
        kernel,
        out_type=tuple(jax.ShapeDtypeStruct((groups, picks, *x.shape[-2:]), x.dtype) for x in arrays),
        scratch_types=[
            *(plgpu.SMEM((rows, *x.shape[-2:]), x.dtype) for x in arrays),
            plgpu.Barrier(num_arrivals=rows * count),
        ],
        grid=(groups, pl.cdiv(picks, rows)),
        grid_names=("group", "block"),
        **interpret_options(interpret),
    )(indices.reshape(groups, picks), *(x.reshape(groups, *x.shape[-3:]) for x in arrays))
    return tuple(y.reshape(*leading, *y.shape[1:]) for y in moved)
