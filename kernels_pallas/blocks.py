"""Cutting arrays of any length into blocks without padding them."""

import jax
import jax.numpy as jnp


def block_start(block: jax.Array, size: int, total: int) -> jax.Array:
    """Return the first row of a block, moved back where it would pass the end.

    The last block then overlaps the one before and computes the same rows to the same bits, which costs
    nothing next to a padded copy of the keys. Needs ``total >= size``.
    """
    return jnp.minimum(block * size, total - size)


def power_of_two_divisor(number: int, at_most: int) -> int:
    """Return the largest power of two that divides `number` and is no larger than `at_most`, itself one."""
    return min(number & -number, at_most)


def power_of_two_below(number: int, at_most: int) -> int:
    """Return the largest power of two that is no larger than `number` and `at_most`."""
    return 1 << (min(number, at_most).bit_length() - 1)


def check_offsets(array: jax.Array) -> None:
    """Raise NotImplementedError where the 32-bit offsets of Triton kernels cannot reach all of `array`."""
    if array.size >= 2**31:
        raise NotImplementedError(f"{array.shape} has 2**31 elements or more; split the leading axes")
