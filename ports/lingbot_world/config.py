"""Sizes of LingBot-World-Fast."""

import dataclasses
from typing import Literal

from ports.wan.latents import CELL
from ports.wan.nn.dit import WanConfig
from worldkv_jax.names import check_name

Control = Literal["cam", "act"]

MAPS: dict[Control, int] = {"cam": 6, "act": 3 + 4}
"""What every pixel tells of the camera: ray origin and direction, or ray direction and the keys W, A, S, D."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LingBotConfig(WanConfig):
    """Size of a LingBot-World diffusion transformer; LingBot-World-Fast unless told otherwise."""

    dim: int = 5120
    ffn_dim: int = 13824
    heads: int = 40
    layers: int = 40
    control: Control = "cam"
    """Steered by camera poses, or by camera poses and pressed keys: two kinds of checkpoints."""
    text_rows: int = 512
    """Rows of the prompt embedding, all of which are attended to."""
    sink_frames: int = 3
    """First latent frames that the released code keeps in its window, as it reads it from the checkpoint."""

    def __post_init__(self):
        super().__post_init__()
        check_name("control", self.control, MAPS)

    @property
    def camera_channels(self) -> int:
        """Channels of a latent cell that tell of the camera: those of its pixels, side by side."""
        return MAPS[self.control] * CELL**2


TINY = LingBotConfig(
    dim=48,
    ffn_dim=96,
    heads=4,
    layers=2,
    frequency_dim=32,
    text_dim=24,
    text_rows=8,
    dtype="float32",
)
"""A transformer of the same structure for trials on any machine; it has no trained weights."""
