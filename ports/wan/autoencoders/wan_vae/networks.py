"""The two networks of the Wan 2.1 VAE: groups of frames to latents, and one latent after another to frames."""

import jax
import jax.numpy as jnp
from flax import nnx

from ports.wan.autoencoders.layers import CausalConv
from ports.wan.autoencoders.streaming import Past
from ports.wan.autoencoders.wan_vae.blocks import Downsample, Head, Middle, Stage, Upsample
from ports.wan.autoencoders.wan_vae.config import VAEConfig
from ports.wan.nn.layers import Linear


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


class Decoder(nnx.Module):
    """One latent to the first frame of a clip, or to the next four."""

    def __init__(self, config: VAEConfig, *, rngs: nnx.Rngs):
        widths = config.widths[::-1]
        self.latents_in = Linear(config.z_dim, config.z_dim, rngs=rngs)
        self.conv_in = CausalConv(config.z_dim, widths[0], rngs=rngs)
        self.middle = Middle(widths[0], rngs=rngs)
        twice = config.decoder_rule == "inspatio"
        stages, width = [], widths[0]
        doubles = config.temporal_downsample[::-1]
        for wide, temporal in zip(widths, (*doubles, None)):
            last = temporal is None
            up = None if last else Upsample(wide, temporal=temporal, remember_newest_twice=twice, rngs=rngs)
            stages.append(Stage(width, wide, blocks=config.num_res_blocks + 1, resample=up, rngs=rngs))
            width = wide // 2
        self.stages = nnx.List(stages)
        self.head = Head(widths[-1], 3, rngs=rngs)
        self.doubling = max((place + 1 for place, here in enumerate(doubles) if here), default=0)

    def __call__(self, z: jax.Array, past: Past) -> jax.Array:
        """Map a latent ``[B, 1, h, w, 16]`` to frames ``[B, T, 8 h, 8 w, 3]``, not clamped.

        ``T`` is 1 where a clip begins and 4 later.
        """
        x = self.middle(self.conv_in(self.latents_in(z), past), past)
        for place in range(self.doubling):
            x = self.stages[place](x, past)
        return past.finish(self._refine, x)

    def _refine(self, x: jax.Array, past: Past) -> jax.Array:
        """Map frames, of which there are all by now, to pixels."""
        for place in range(self.doubling, len(self.stages)):
            x = self.stages[place](x, past)
        return self.head(x, past)
