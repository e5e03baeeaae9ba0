"""Sizes of Matrix-Game 2.0."""

import dataclasses

from ports.wan.latents import CHUNK_FRAMES, FRAMES_PER_LATENT
from ports.wan.nn.dit import WanConfig
from worldkv_jax.rope import Rope

LATENT_ROWS = FRAMES_PER_LATENT
"""Pixel frames of a latent frame, and so rows of actions; the first latent frame has one."""
WINDOW_ROWS = 3 * LATENT_ROWS
"""Rows of actions that a latent frame sees."""
MOUSE_COLUMNS = 2
"""Pitch and yaw."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class MatrixGameConfig(WanConfig):
    """Size of a Matrix-Game 2.0 diffusion transformer; the universal variant unless told otherwise."""

    dim: int = 1536
    ffn_dim: int = 8960
    heads: int = 12
    layers: int = 30
    text_dim: int = 0
    """There is no prompt."""
    image_dim: int = 1280
    """Width of the image's tokens, made by CLIP."""
    keyboard_columns: int = 4
    """Keys that the model knows."""
    mouse: bool = True
    """Whether it also knows a mouse."""
    keyboard_dim: int = 128
    """Width of an embedded row of keys."""
    action_layers: int = 15
    """Blocks that see the actions: the first ones."""
    action_heads: int = 16
    action_head_dim: int = 64
    window_frames: int = 6
    """Latent frames that attention reaches in the released model, those of the current chunk included."""

    def __post_init__(self):
        super().__post_init__()
        if not 1 <= self.action_layers <= self.layers:
            raise ValueError(f"action_layers={self.action_layers} is not among the model's {self.layers} layers")
        if self.window_frames < CHUNK_FRAMES:
            raise ValueError(
                f"window_frames={self.window_frames} is shorter than a chunk, whose {CHUNK_FRAMES} frames attend to "
                "each other"
            )

    @property
    def recent_frames(self) -> int:
        """Latent frames before the current chunk that attention reaches in the released model."""
        return self.window_frames - CHUNK_FRAMES

    @property
    def action_dim(self) -> int:
        """Width of all heads of the action modules together."""
        return self.action_heads * self.action_head_dim

    @property
    def rope(self) -> Rope:
        """Rotary positions of one head of self-attention."""
        return Rope(head_dim=self.head_dim)


TINY = MatrixGameConfig(
    dim=48,
    ffn_dim=96,
    heads=4,
    layers=3,
    frequency_dim=32,
    image_dim=24,
    keyboard_dim=8,
    action_layers=2,
    action_heads=2,
    action_head_dim=16,
    dtype="float32",
)
"""A transformer of the same structure for trials on any machine; it has no trained weights."""
