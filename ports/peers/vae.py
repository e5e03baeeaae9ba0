"""Decoding by the Wan VAE beside diffusers', with the same random weights, of files that diffusers wrote."""

import diffusers
import jax
import jax.numpy as jnp
import numpy as np
import torch

from checkpoints.restore import load_params
from ports.wan.autoencoders import wan_vae
from worldkv_jax.benchmarks.pairs import Pair, Place, Work

SIZE = wan_vae.VAEConfig()
LATENTS = (3, 16, 24)
"""Frames, rows and columns."""


def compare(place: Place, config: wan_vae.VAEConfig = SIZE, latents: tuple[int, int, int] = LATENTS) -> Pair:
    """Decode the first chunk of a video."""
    folder = place.scratch / "vae"
    if not folder.exists():
        torch.manual_seed(0)
        diffusers.AutoencoderKLWan(
            base_dim=config.dim,
            z_dim=config.z_dim,
            dim_mult=list(config.dim_mult),
            num_res_blocks=config.num_res_blocks,
            temperal_downsample=list(config.temporal_downsample),
        ).save_pretrained(folder)
    given = np.random.default_rng(0).normal(size=(1, *latents, config.z_dim)).astype(np.float32)

    def ours() -> Work:
        loaded, params = load_params(place.scratch, wan_vae.COMPONENT, dtype=jnp.float32)
        decode, cells = jax.jit(wan_vae.decode, static_argnums=0), jnp.asarray(given)
        return lambda: jax.block_until_ready(decode(loaded, params, cells)[0])

    def theirs() -> Work:
        model = diffusers.AutoencoderKLWan.from_pretrained(folder).eval()
        restored = given * np.array(wan_vae.LATENT_STD, np.float32) + np.array(wan_vae.LATENT_MEAN, np.float32)
        cells = torch.from_numpy(np.moveaxis(restored, -1, 1).copy())
        return torch.no_grad()(lambda: np.moveaxis(model.decode(cells).sample.numpy(), 1, -1))

    frames, rows, columns = latents
    what = f"{4 * frames - 3} frames of {8 * rows}x{8 * columns}, width {config.dim}, float32"
    return Pair(what=what, ours=ours, theirs=theirs, tolerance=1e-2)
