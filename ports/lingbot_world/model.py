"""The diffusion transformer of LingBot-World: Wan 2.1 with a camera in every block."""

import jax
from flax import nnx

from ports.lingbot_world.config import LingBotConfig
from ports.wan.nn.block import MLP
from ports.wan.nn.dit import WanDiT
from ports.wan.nn.layers import Linear
from ports.wan.nn.patches import PATCH, patchify
from ports.wan.nn.stack import map_layers


class LingBotDiT(WanDiT):
    """Flow of noisy latents given their diffusion time, image, prompt, camera and the visible past.

    LingBot-World specification, section 3.
    """

    def __init__(self, config: LingBotConfig, *, rngs: nnx.Rngs):
        super().__init__(config, camera=True, rngs=rngs)
        self.camera_embedding = Linear(PATCH**2 * config.camera_channels, config.dim, rngs=rngs)
        self.camera_mlp = MLP(config.dim, config.dim, config.dim, rngs=rngs)

    def embed_camera(self, cells: jax.Array) -> jax.Array:
        """Embed the camera channels ``[B, F, rows, columns, c]`` of a chunk's cells as ``[B, T, d]``."""
        embedding = self.camera_embedding(patchify(cells).astype(self.dtype))
        return embedding + self.camera_mlp(embedding)

    def prepare_camera(self, cells: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Compute every block's camera scale and shift ``[L, B, T, d]``; constant over a chunk's passes."""
        return map_layers(lambda film, embedding: film(embedding), self.blocks.camera, self.embed_camera(cells))
