"""The demo world's fixed codec: a linear map of 4x4 pixel patches to 20 latent channels."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ports.wan.nn.layers import along_last

PATCH = 4  # pixels along one side of a latent cell
CHANNELS = 20
PARAMETERS = 3 * PATCH**2 * (CHANNELS + 1) + CHANNELS
"""Numbers of a `Codec`."""


class Codec(NamedTuple):
    """Principal components of pixel patches; a pytree, saved with the model."""

    mean: jax.Array  # [48]
    basis: jax.Array  # [48, 20], orthonormal columns
    scale: jax.Array  # [20], divides the coefficients


def fit_codec(frames: np.ndarray) -> Codec:
    """Fit the components to frames ``[n, h, w, 3]`` in [0, 1]; fine detail is partly whitened."""
    patches = np.asarray(_to_patches(jnp.asarray(frames)), np.float64).reshape(-1, 3 * PATCH**2)
    mean = patches.mean(0)
    _, basis = np.linalg.eigh(np.cov(patches - mean, rowvar=False))
    basis = basis[:, ::-1][:, :CHANNELS]
    deviation = ((patches - mean) @ basis).std(0)
    # Full whitening would spend the model on invisible detail, none would drown it: in between.
    scale = deviation**0.6 * deviation[0] ** 0.4
    return Codec(*(a.astype(np.float32) for a in (mean, np.ascontiguousarray(basis), scale)))


def encode(codec: Codec, frames: jax.Array) -> jax.Array:
    """Encode frames ``[..., h, w, 3]`` in [0, 1] to latents ``[..., h / 4, w / 4, 20]``."""
    patches = _to_patches(frames)
    latents = (patches - along_last(codec.mean, patches)) @ codec.basis
    return latents / along_last(codec.scale, latents)


def decode(codec: Codec, latents: jax.Array) -> jax.Array:
    """Decode latents ``[..., h / 4, w / 4, 20]`` to frames ``[..., h, w, 3]``, clipped to [0, 1]."""
    patches = (latents * along_last(codec.scale, latents)) @ codec.basis.T
    patches = patches + along_last(codec.mean, patches)
    *lead, rows, cols, _ = patches.shape
    pixels = jnp.swapaxes(patches.reshape(*lead, rows, cols, PATCH, PATCH, 3), -4, -3)
    return jnp.clip(pixels.reshape(*lead, rows * PATCH, cols * PATCH, 3), 0, 1)


def _to_patches(frames):
    *lead, height, width, _ = frames.shape
    cells = frames.reshape(*lead, height // PATCH, PATCH, width // PATCH, PATCH, 3)
    return jnp.swapaxes(cells, -4, -3).reshape(*lead, height // PATCH, width // PATCH, 3 * PATCH**2)
