"""The decoder of the Wan 2.1 VAE: one latent after another to frames."""

import jax
from flax import nnx

from ports.wan.layers import Linear
from ports.wan.vae.blocks import Head, Middle, Stage, Upsample
from ports.wan.vae.config import VAEConfig
from ports.wan.vae.layers import CausalConv
from ports.wan.vae.streaming import Past


class Decoder(nnx.Module):
    """One latent to the first frame of a clip, or to the next four."""

    def __init__(self, config: VAEConfig, *, rngs: nnx.Rngs):
        widths = config.widths[::-1]
        self.latents_in = Linear(config.z_dim, config.z_dim, rngs=rngs)
        self.conv_in = CausalConv(config.z_dim, widths[0], rngs=rngs)
        self.middle = Middle(widths[0], rngs=rngs)
        twice = config.decoder_rule == "inspatio"
        stages, width = [], widths[0]
        for wide, temporal in zip(widths, (*config.temporal_downsample[::-1], None)):
            last = temporal is None
            up = None if last else Upsample(wide, temporal=temporal, remember_newest_twice=twice, rngs=rngs)
            stages.append(Stage(width, wide, blocks=config.num_res_blocks + 1, resample=up, rngs=rngs))
            width = wide // 2
        self.stages = nnx.List(stages)
        self.head = Head(widths[-1], 3, rngs=rngs)

    def __call__(self, z: jax.Array, past: Past) -> jax.Array:
        """Map a latent ``[B, 1, h, w, 16]`` to frames ``[B, T, 8 h, 8 w, 3]``, not clamped.

        ``T`` is 1 where a clip begins and 4 later.
        """
        x = self.middle(self.conv_in(self.latents_in(z), past), past)
        for stage in self.stages:
            x = stage(x, past)
        return self.head(x, past)
