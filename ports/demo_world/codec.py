"""The demo world's fixed codec: a linear map of square pixel patches to a few latent channels."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ports.wan.nn.layers import along_last


class Codec(NamedTuple):
    """Principal components of pixel patches; a pytree, saved with the model."""

    mean: jax.Array  # [3 p p] of patches of p x p pixels
    basis: jax.Array  # [3 p p, c], orthonormal columns
    scale: jax.Array  # [c], divides the coefficients

    @classmethod
    def shapes(cls, cell: int, channels: int) -> dict[str, tuple[int, ...]]:
        """Return the shape of every field for patches of ``cell x cell`` pixels."""
        return dict(zip(cls._fields, ((3 * cell**2,), (3 * cell**2, channels), (channels,)), strict=True))

    @property
    def cell(self) -> int:
        """Pixels along one side of a patch."""
        return math.isqrt(self.mean.shape[-1] // 3)

    @property
    def visibility(self) -> jax.Array:
        """Squared error, over all pixels of a cell, that an error of one in each of its numbers makes: ``[c]``."""
        return jnp.square(self.scale)

    def encode(self, frames: jax.Array) -> jax.Array:
        """Encode frames ``[..., h, w, 3]`` in [0, 1] to latents ``[..., h / p, w / p, c]``."""
        patches = _to_patches(frames, self.cell)
        latents = (patches - along_last(self.mean, patches)) @ self.basis
        return latents / along_last(self.scale, latents)

    def decode(self, latents: jax.Array) -> jax.Array:
        """Decode latents ``[..., h / p, w / p, c]`` to frames ``[..., h, w, 3]``, clipped to [0, 1]."""
        patches = (latents * along_last(self.scale, latents)) @ self.basis.T
        patches = patches + along_last(self.mean, patches)
        *lead, rows, cols, _ = patches.shape
        pixels = jnp.swapaxes(patches.reshape(*lead, rows, cols, self.cell, self.cell, 3), -4, -3)
        return jnp.clip(pixels.reshape(*lead, rows * self.cell, cols * self.cell, 3), 0, 1)


def fit_codec(frames: np.ndarray, *, cell: int, channels: int) -> Codec:
    """Fit ``channels`` components to patches of frames ``[n, h, w, 3]`` in [0, 1]; fine detail is partly whitened."""
    patches = np.asarray(_to_patches(jnp.asarray(frames), cell), np.float64).reshape(-1, 3 * cell**2)
    mean = patches.mean(0)
    _, basis = np.linalg.eigh(np.cov(patches - mean, rowvar=False))
    basis = basis[:, ::-1][:, :channels]
    deviation = ((patches - mean) @ basis).std(0)
    # Full whitening would spend the model on invisible detail, none would drown it: in between.
    scale = deviation**0.6 * deviation[0] ** 0.4
    return Codec(*(jnp.asarray(a, jnp.float32) for a in (mean, basis, scale)))


def _to_patches(frames: jax.Array, cell: int) -> jax.Array:
    *lead, height, width, _ = frames.shape
    cells = frames.reshape(*lead, height // cell, cell, width // cell, cell, 3)
    return jnp.swapaxes(cells, -4, -3).reshape(*lead, height // cell, width // cell, 3 * cell**2)
