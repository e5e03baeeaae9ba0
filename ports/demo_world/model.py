"""The demo world's model: a small chunk-causal DiT built from the Wan parts."""

import dataclasses
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from ports.demo_world.worlds.families import Family, family
from ports.demo_world.worlds.pinhole import pixel_rays
from ports.demo_world.worlds.sizes import CELLS
from ports.wan.nn.block import MLP, Conditions, DiTBlock, Head, TimeEmbedding
from ports.wan.nn.layers import Linear
from ports.wan.nn.parameters import stack_layers
from ports.wan.nn.patches import PATCH, patchify
from ports.wan.nn.stack import map_layers, run_blocks
from worldkv_jax.cameras import relative
from worldkv_jax.names import check_name
from worldkv_jax.rope import Rope

_VARIANCE = 0.25  # about that of a latent number

GRID = (CELLS[0] // PATCH, CELLS[1] // PATCH)  # tokens of a frame
TOKENS = GRID[0] * GRID[1]


@dataclasses.dataclass(frozen=True, kw_only=True)
class DemoConfig:
    """Size of the demo model, and the worlds it is of."""

    world: str = "rooms"
    dim: int = 160
    heads: int = 4
    layers: int = 5
    ffn_dim: int = 480
    frequency_dim: int = 64
    predicts: Literal["flow", "residual"] = "flow"
    """What the head gives: the flow, or what is left of it after its best linear guess from the noisy token: then noise
    need not pass through a stream that is hardly wider than a token (preconditioning, arXiv 2206.00364)."""

    def __post_init__(self):
        family(self.world)  # raises for one that is not known
        check_name("prediction", self.predicts, ("flow", "residual"))

    @property
    def family(self) -> Family:
        """The worlds it is of."""
        return family(self.world)

    @property
    def token_channels(self) -> int:
        """Numbers of a token, ``c``."""
        return PATCH**2 * self.family.channels

    @property
    def rope(self) -> Rope:
        """Rotary positions of one head."""
        return Rope(head_dim=self.dim // self.heads)


class Camera(NamedTuple):
    """What the camera contributes to a chunk, constant over its passes."""

    embedding: jax.Array  # [B, T, d], added to the tokens
    film: tuple[jax.Array, jax.Array]  # every block's scale and shift [L, B, T, d]


class DemoDiT(nnx.Module):
    """Flow of noisy latent tokens given their diffusion time, camera rays and visible past."""

    def __init__(self, config: DemoConfig, *, rngs: nnx.Rngs):
        dim = config.dim
        self.predicts = config.predicts
        self.patch_embedding = Linear(config.token_channels, dim, rngs=rngs)
        self.ray_embedding = Linear(PATCH**2 * 6, dim, rngs=rngs)
        self.ray_mlp = MLP(dim, dim, dim, rngs=rngs)
        self.time_embedding = TimeEmbedding(dim, config.frequency_dim, rngs=rngs)

        self.blocks = stack_layers(
            lambda rngs: DiTBlock(dim, config.heads, config.ffn_dim, camera=True, rngs=rngs), config.layers, rngs
        )
        self.head = Head(dim, config.token_channels, rngs=rngs)

    def prepare_camera(self, rays: jax.Array) -> Camera:
        """Embed ray features ``[B, T, 24]`` and compute every block's camera scale and shift."""
        embedding = self.ray_embedding(rays)
        embedding = embedding + self.ray_mlp(embedding)
        return Camera(embedding, map_layers(lambda film, rows: film(rows), self.blocks.camera, embedding))

    def __call__(self, tokens, t, camera: Camera, rope, *, context=None, mask=None, collect=None):
        """Predict the flow (noise minus clean) of every token.

        Args:
            tokens: ``[B, T, c]`` noisy latent tokens.
            t: ``[B, G]`` diffusion time of each of ``G`` equal groups of tokens, in [0, 1].
            camera: of `prepare_camera`.
            rope: cosine and sine ``[B, T, H / 2]`` or ``[T, H / 2]``.
            context: the visible past; ``None`` for none.
            mask: among own tokens, where they are whole sequences; training only, excludes ``context``.
            collect: what to gather of every layer's `QKV`, stacked over layers; a denoising pass gathers nothing.

        Returns:
            Flow float32 ``[B, T, c]``, and what was collected.
        """
        embedding, time_rows = self.time_embedding(1000.0 * t)
        x = (self.patch_embedding(tokens) + camera.embedding).astype(jnp.float32)
        x, collected, _ = run_blocks(
            self.blocks,
            x,
            time_rows,
            rope,
            Conditions(film=camera.film),
            context=context,
            mask=mask,
            collect=collect,
        )
        predicted = self.head(x, embedding)
        if self.predicts == "residual":
            predicted = predicted + _linear_guess(tokens, t)
        return predicted, collected


def _linear_guess(tokens: jax.Array, t: jax.Array) -> jax.Array:
    """Guess the flow of noisy tokens ``[B, T, c]`` from themselves alone, with the least squared error."""
    time = jnp.repeat(t, tokens.shape[1] // t.shape[1], axis=1)[..., None]
    rest = (1 - time) * _VARIANCE
    return tokens * (time - rest) / (jnp.square(time) + (1 - time) * rest)


def ray_features(origin: jax.Array, poses: jax.Array) -> jax.Array:
    """Return raw rays ``[origin, direction]`` of each token's latent cells, ``[F * 24, 24]``.

    Args:
        origin: ``[4, 4]`` the rollout's first camera, to which all rays are relative.
        poses: ``[F, 4, 4]`` camera-to-world.
    """
    poses = relative(origin, poses)
    rays = pixel_rays(*CELLS)
    rays = rays / jnp.linalg.norm(rays, axis=-1, keepdims=True)
    direction = jnp.einsum("fij,hwj->fhwi", poses[:, :3, :3], rays)
    origin = jnp.broadcast_to(poses[:, None, None, :3, 3], direction.shape)
    return patchify(jnp.concatenate([origin, direction], axis=-1))
