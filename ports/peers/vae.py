"""Decoding by the Wan VAE beside diffusers', with the same random weights, of files that diffusers wrote."""

from pathlib import Path

import diffusers
import jax
import jax.numpy as jnp
import numpy as np
import torch

from checkpoints.restore import load_params
from ports.wan.autoencoders import wan_vae
from worldkv_jax.benchmarks.peers import Pair

SIZE = wan_vae.VAEConfig()
LATENTS = (3, 16, 24)
"""Frames, rows and columns."""


def compare(folder: Path, config: wan_vae.VAEConfig = SIZE, latents: tuple[int, int, int] = LATENTS) -> Pair:
    """Decode the first chunk of a video."""
    torch.manual_seed(0)
    reference = diffusers.AutoencoderKLWan(
        base_dim=config.dim,
        z_dim=config.z_dim,
        dim_mult=list(config.dim_mult),
        num_res_blocks=config.num_res_blocks,
        temperal_downsample=list(config.temporal_downsample),
    ).eval()
    reference.save_pretrained(folder / "vae")
    loaded, params = load_params(folder, wan_vae.COMPONENT, dtype=jnp.float32)
    given = np.random.default_rng(0).normal(size=(1, *latents, config.z_dim)).astype(np.float32)
    restored = given * np.array(wan_vae.LATENT_STD, np.float32) + np.array(wan_vae.LATENT_MEAN, np.float32)
    channels_first = torch.from_numpy(np.moveaxis(restored, -1, 1).copy())
    decode, ours = jax.jit(wan_vae.decode, static_argnums=0), jnp.asarray(given)

    @torch.no_grad()
    def theirs():
        return np.moveaxis(reference.decode(channels_first).sample.numpy(), 1, -1)

    frames, rows, columns = latents
    return Pair(
        what=f"{4 * frames - 3} frames of {8 * rows}x{8 * columns}, width {config.dim}, float32",
        ours=lambda: jax.block_until_ready(decode(loaded, params, ours)[0]),
        theirs=theirs,
        tolerance=1e-2,
    )
