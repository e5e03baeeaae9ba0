"""Selecting the lowest scores as a Pallas kernel for Triton: a search for the threshold instead of a sort."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton as plt
from jaxtyping import Array, Float, Int32


def ordered_bits(scores: jax.Array) -> jax.Array:
    """Map float32 scores to uint32 in the same order: both zeros to one value, every NaN to the largest."""
    scores = jnp.where(scores == 0, jnp.float32(0), scores)
    bits = lax.bitcast_convert_type(scores, jnp.uint32)
    sign = jnp.uint32(1 << 31)
    bits = jnp.where(bits >= sign, ~bits, bits | sign)
    return jnp.where(scores != scores, jnp.uint32(0xFFFFFFFF), bits)


def kernel(score_ref: Any, out_ref: Any, *, k: int) -> None:
    """Write the positions of the `k` lowest scores, ascending, before those of all others."""
    bits = ordered_bits(score_ref[...])

    def refine(step: jax.Array, threshold: jax.Array) -> jax.Array:
        # Bit by bit from the top: the largest value with fewer than k scores below it is the k-th lowest
        # score.
        candidate = threshold | (jnp.uint32(1) << (31 - step).astype(jnp.uint32))
        below = jnp.sum((bits < candidate).astype(jnp.int32))
        return jnp.where(below < k, candidate, threshold)

    threshold = lax.fori_loop(0, 32, refine, jnp.uint32(0))
    below = (bits < threshold).astype(jnp.int32)
    tied = (bits == threshold).astype(jnp.int32)
    chosen_ties = tied * (jnp.cumsum(tied) <= k - jnp.sum(below)).astype(jnp.int32)
    chosen = below + chosen_ties
    # Every position gets a place of its own: a masked store with repeated targets would be undefined.
    place = jnp.where(chosen == 1, jnp.cumsum(chosen) - 1, k + jnp.cumsum(1 - chosen) - 1)
    plt.store(out_ref.at[place], lax.broadcasted_iota(jnp.int32, bits.shape, 0))


def select_lowest(scores: Float[Array, "*B T"], k: int, *, interpret: bool = False) -> Int32[Array, "*B k"]:
    """Select from ``scores [..., T]``; see the reference."""
    *leading, tokens = scores.shape
    groups, size = math.prod(leading), pl.next_power_of_2(tokens)
    scores = scores.astype(jnp.float32).reshape(groups, tokens)
    # NaN at the end of a row loses to everything, also to the row's own NaNs, which stand before it.
    scores = jnp.pad(scores, ((0, 0), (0, size - tokens)), constant_values=jnp.nan)
    row = pl.BlockSpec((None, size), lambda group: (group, 0))
    order = pl.pallas_call(
        functools.partial(kernel, k=k),
        grid=(groups,),
        in_specs=[row],
        out_specs=row,
        out_shape=jax.ShapeDtypeStruct((groups, size), jnp.int32),
        compiler_params=plt.CompilerParams(num_warps=8),
        interpret=interpret,
        name="select_lowest",
    )(scores)
    return order[:, :k].reshape(*leading, k)
