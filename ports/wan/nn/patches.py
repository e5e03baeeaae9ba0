"""Tokens of latent frames: each is one spatial patch of cells."""

import jax
import jax.numpy as jnp

PATCH = 2
"""Latent cells along one side of a token (Wan 2.1: patches of 1 x 2 x 2)."""


def patchify(cells: jax.Array) -> jax.Array:
    """Group cells ``[..., F, R, C, c]`` into tokens ``[..., F * R/2 * C/2, 4c]``, ordered frame, row, column.

    Features are ordered row, column, channel within the patch. The released weights expect the channel first
    where they read latents; their key tables reorder the weights once, so that no pass reorders its tokens.
    """
    *lead, frames, rows, cols, channels = cells.shape
    blocks = cells.reshape(*lead, frames, rows // PATCH, PATCH, cols // PATCH, PATCH, channels)
    tokens = frames * (rows // PATCH) * (cols // PATCH)
    return jnp.swapaxes(blocks, -4, -3).reshape(*lead, tokens, PATCH**2 * channels)


def unpatchify(tokens: jax.Array, rows: int, cols: int) -> jax.Array:
    """Undo `patchify`: tokens ``[..., n, 4c]`` to cells ``[..., F, rows, cols, c]``."""
    *lead, _, features = tokens.shape
    blocks = tokens.reshape(*lead, -1, rows // PATCH, cols // PATCH, PATCH, PATCH, features // PATCH**2)
    return jnp.swapaxes(blocks, -4, -3).reshape(*lead, -1, rows, cols, features // PATCH**2)
