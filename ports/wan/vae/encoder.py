"""The encoder of the Wan 2.1 VAE: groups of frames to latents."""

import jax
import jax.numpy as jnp
from flax import nnx

from ports.wan.layers import Linear
from ports.wan.vae.blocks import Downsample, Head, Middle, Stage
from ports.wan.vae.config import VAEConfig
from ports.wan.vae.layers import CausalConv
from ports.wan.vae.streaming import Past


class Encoder(nnx.Module):
    """The first frame of a clip, or the next group of frames, to one latent."""

    def __init__(self, config: VAEConfig, *, rngs: nnx.Rngs):
        widths = config.widths
        self.conv_in = CausalConv(3, widths[0], rngs=rngs)
        stages, width = [], widths[0]
        for wide, temporal in zip(widths, (*config.temporal_downsample, None)):
            down = None if temporal is None else Downsample(wide, temporal=temporal, rngs=rngs)
            stages.append(Stage(width, wide, blocks=config.num_res_blocks, resample=down, rngs=rngs))
            width = wide
        self.stages = nnx.List(stages)
        self.middle = Middle(width, rngs=rngs)
        self.head = Head(width, 2 * config.z_dim, rngs=rngs)
        self.moments = Linear(2 * config.z_dim, 2 * config.z_dim, rngs=rngs)

    def features(self, x: jax.Array, past: Past) -> jax.Array:
        """Map frames ``[B, T, 8 h, 8 w, 3]`` to ``[B, 1, h, w, 32]``, of which the moments are a linear map."""
        x = self.conv_in(x, past)
        for stage in self.stages:
            x = stage(x, past)
        return self.head(self.middle(x, past), past)

    def __call__(self, x: jax.Array, past: Past) -> jax.Array:
        """Map frames ``[B, T, 8 h, 8 w, 3]`` in [-1, 1] to the mean of their latent, ``[B, 1, h, w, 16]``.

        ``T`` is 1 where a clip begins and 4 later. The other half of the moments, log-variances, is for training.
        """
        return jnp.split(self.moments(self.features(x, past)), 2, axis=-1)[0]
