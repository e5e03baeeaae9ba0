"""Where callers enter the gathering of kept tokens."""

from typing import TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int32

from kernels_pallas import dispatch

AVAILABLE = ("xla", "mosaic_gpu", "triton")

Tree = TypeVar("Tree")


def compact(
    x: Tree, indices: Int32[Array, "*B P"], *, implementation: dispatch.Implementation = None, interpret: bool = False
) -> Tree:
    """Take the tokens at ``indices [..., P]`` from every array ``[..., T, N, H]`` of a pytree.

    Returns a pytree of ``[..., P, N, H]`` of the same dtypes. Keys and values go in together, as a tuple say,
    and share one kernel (WorldKV, World Compression: the tokens that stay). Indices are int32 and must lie in
    0..T-1: an index outside is undefined. Written into a donated buffer in the same `jit`, the "xla" version
    is fused into that write.

    `implementation` is static: None, "xla", "mosaic_gpu", "triton", or several in order of preference.
    `interpret` runs a Pallas version in the interpreter. Raises ValueError for shapes, an index dtype or
    names that do not fit, NotImplementedError if the named version cannot run.
    """
    arrays, structure = jax.tree.flatten(x)
    if indices.dtype != jnp.int32:
        raise ValueError(f"indices are {indices.dtype}; expected int32")
    for array in arrays:
        if array.ndim < 3 or array.shape[:-3] != indices.shape[:-1]:
            raise ValueError(f"indices {indices.shape} do not fit {array.shape}; expected [..., P] and [..., T, N, H]")
    moved = dispatch.call("compact", AVAILABLE, implementation, interpret, tuple(arrays), indices)
    return jax.tree.unflatten(structure, moved)
