"""The arithmetic that all Pallas versions of the anchor similarity share."""

import jax
import jax.numpy as jnp

Sums = tuple[jax.Array, jax.Array]


def accumulate(sums: Sums, keys: jax.Array, anchor: jax.Array) -> Sums:
    """Add one block of columns to the running sums ``(dot [rows], key_sq [rows])``.

    `keys` is ``[rows, columns]`` of any float dtype, `anchor` float32 of the same shape or ``[1, columns]``.
    """
    dot, key_sq = sums
    keys = keys.astype(jnp.float32)
    return dot + jnp.sum(keys * anchor, axis=1), key_sq + jnp.sum(keys * keys, axis=1)
