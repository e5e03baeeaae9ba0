"""What the first frame of a video contributes to every chunk: a mask that says it is given, and its latents."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from ports.wan.autoencoders import wan_vae
from ports.wan.latents import CHUNK_FRAMES, FRAMES_PER_LATENT, LATENT_CHANNELS


def mask_first(latents: jax.Array) -> jax.Array:
    """Put the mask before image latents: it says that the first latent frame is given.

    Args:
        latents: ``[B, F, rows, columns, 16]`` of the first frame followed by grey, from the rollout's beginning.

    Returns:
        ``[B, F, rows, columns, 20]``.
    """
    mask = jnp.zeros((*latents.shape[:-1], FRAMES_PER_LATENT), latents.dtype)
    return jnp.concatenate([mask.at[:, 0].set(1), latents], axis=-1)


@functools.partial(jax.jit, static_argnames=("config", "latents"))
def encode_first_frame(config: wan_vae.VAEConfig, params: dict, frames: jax.Array, *, latents: int) -> jax.Array:
    """Encode the frames that worlds begin with.

    Args:
        config: of the VAE.
        params: its parameters.
        frames: ``[B, height, width, 3]`` in [-1, 1], of the video's size.
        latents: latent frames of the rollout; past `still_latents` all are the same, so no more are made.

    Returns:
        ``[B, n, rows, columns, 20]``, see `mask_first`; the last latent frame stands for all later ones.
    """
    return mask_first(wan_vae.encode_image(config, params, frames, min(latents, config.still_latents)))


def draw_first_frame(
    config: wan_vae.VAEConfig, key: jax.Array, size: tuple[int, int], *, worlds: int = 1, latents: int
) -> jax.Array:
    """Draw what first frames would contribute, for random weights; ``size`` is in latent cells."""
    shape = (worlds, min(latents, config.still_latents), *size, LATENT_CHANNELS)
    return mask_first(jax.random.normal(key, shape))


def cells_of_chunk(cells: jax.Array, chunk: int) -> jax.Array:
    """Return what a chunk is given of the first frame, ``[B, 3, rows, columns, 20]``.

    Args:
        cells: of `encode_first_frame`.
        chunk: its number.
    """
    frames = np.minimum(np.arange(CHUNK_FRAMES) + chunk * CHUNK_FRAMES, cells.shape[1] - 1)
    return cells[:, frames]
