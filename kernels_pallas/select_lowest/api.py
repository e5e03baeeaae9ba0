"""Where callers enter the selection of the lowest scores."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int32

from kernels_pallas import dispatch

AVAILABLE = ("xla", "triton")


def select_lowest(
    scores: Float[Array, "*B T"], k: int, *, implementation: dispatch.Implementation = None, interpret: bool = False
) -> Int32[Array, "*B k"]:
    """Return the positions ``[..., k]`` of the `k` lowest of ``scores [..., T]``: int32, ascending.

    Of equal scores the lowest position wins; -0.0 equals +0.0; NaN is higher than all numbers.
    Numbers closer to zero than 2**-126 count as zero on backends that flush them. Scores are floats of at
    most 32 bits, `k` is static. With similarities as scores these are the tokens World Compression keeps.

    `implementation` is static: None, "xla", "triton", or several in order of preference. `interpret` runs a
    Pallas version in the interpreter. Raises ValueError for a `k` outside 1..T, a dtype or name that does not
    fit, NotImplementedError if the named version cannot run.
    """
    if scores.ndim < 1 or not 1 <= k <= scores.shape[-1]:
        raise ValueError(f"k={k} of scores {scores.shape} cannot be selected; expected 1 <= k <= T for [..., T]")
    if not jnp.issubdtype(scores.dtype, jnp.floating) or scores.dtype.itemsize > 4:
        raise ValueError(f"scores are {scores.dtype}; expected floats of at most 32 bits")
    return dispatch.call("select_lowest", AVAILABLE, implementation, interpret, scores, k=k)
