"""NumPy or jax.numpy: one formula serves the host (float64) and jitted code (float32)."""

from types import ModuleType
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

A = TypeVar("A", np.ndarray[Any, Any], jax.Array)
"""What goes in comes out: NumPy arrays or JAX arrays."""


def namespace(*arrays: object) -> ModuleType:
    """Return jax.numpy if any argument is a JAX array or tracer, else numpy."""
    return jnp if any(isinstance(array, jax.Array) for array in arrays) else np


def as_float(xp: ModuleType, *arrays: object) -> tuple[Any, ...]:
    """Turn arrays into the working precision: float64 under numpy, float32 under jax.numpy."""
    return tuple(xp.asarray(array, np.float64 if xp is np else np.float32) for array in arrays)


def root(square: A) -> A:
    """Take the square root; where it is zero its gradient is zero too, so that the one of a norm is no NaN."""
    xp = namespace(square)
    one, nonzero = xp.ones_like(square), square != 0
    return xp.where(nonzero, xp.sqrt(xp.where(nonzero, square, one)), xp.zeros_like(square))


def product(a: A, b: A) -> A:
    """Multiply stacks of small matrices, ``[..., i, j]`` by ``[..., j, k]``, in full precision.

    Under JAX it is written out, term by term. A float32 matmul would run in TF32 on a GPU, which costs an angle its
    last three digits; a reduction is a kernel of its own on a CPU, which for the distances to all stored chunks takes
    as long as everything else that the memory does.
    """
    if namespace(a, b) is np:
        return a @ b
    a, b = same_rank(a, b)
    first, *others = (a[..., :, j, None] * b[..., None, j, :] for j in range(a.shape[-1]))
    return sum(others, first)


def same_rank(*arrays: Any) -> tuple[Any, ...]:
    """Give all arrays the rank of the largest, by leading axes of one."""
    rank = max(array.ndim for array in arrays)
    return tuple(array.reshape(*[1] * (rank - array.ndim), *array.shape) for array in arrays)
