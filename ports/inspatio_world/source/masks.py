"""Masks of what is known, packed into latent frames."""

import jax
import jax.numpy as jnp

from ports.wan.latents import CELL, FRAMES_PER_LATENT


def pack_mask(mask: jax.Array) -> jax.Array:
    """Pack a mask a frame into four channels a latent frame.

    A cell is the mean of its four middle pixels; the first frame stands for four, and frames that do not fill a
    latent are dropped (InSpatio-World specification, section 6).

    Args:
        mask: ``[B, T, H, W]``, 1 where something is known and -1 where not; or bool.

    Returns:
        float32 ``[B, 1 + (T - 1) // 4, H / 8, W / 8, 4]``.
    """
    if mask.dtype == bool:
        mask = jnp.where(mask, 1.0, -1.0)
    worlds, frames, height, width = mask.shape
    middle = slice(CELL // 2 - 1, CELL // 2 + 1)
    cells = mask.astype(jnp.float32).reshape(worlds, frames, height // CELL, CELL, width // CELL, CELL)
    cells = cells[:, :, :, middle, :, middle].mean(axis=(3, 5))
    cells = jnp.concatenate([cells[:, :1].repeat(FRAMES_PER_LATENT - 1, axis=1), cells], axis=1)
    whole = cells.shape[1] // FRAMES_PER_LATENT * FRAMES_PER_LATENT
    return jnp.moveaxis(cells[:, :whole].reshape(worlds, -1, FRAMES_PER_LATENT, *cells.shape[2:]), 2, -1)
