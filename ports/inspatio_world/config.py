"""Sizes of InSpatio-World."""

import dataclasses
from typing import Literal

from ports.wan.autoencoders.wan_vae import VAEConfig
from ports.wan.nn.dit import WanConfig

Version = Literal["v1", "v1.5"]
"""Both have the same network with other weights; they differ in how the source is rendered and cut into chunks."""

SIZE = (480, 832)
"""Height and width in pixels that the released weights were trained for."""
STEPS, SHIFT = (1000, 750, 500, 250), 5.0
"""What the model was distilled for, see `ports.wan.schedule`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class InSpatioConfig(WanConfig):
    """Size of an InSpatio-World diffusion transformer; the released one unless told otherwise."""

    dim: int = 1536
    ffn_dim: int = 8960
    heads: int = 12
    layers: int = 30
    text_rows: int = 512
    """Rows of the prompt embedding, all of which are attended to."""


TINY = InSpatioConfig(
    dim=48, ffn_dim=96, heads=4, layers=2, frequency_dim=32, text_dim=24, text_rows=8, dtype="float32"
)
"""A transformer of the same structure for trials on any machine; it has no trained weights."""
TINY_VAE = VAEConfig(dim=4, decoder_rule="inspatio")
"""And its VAE."""
