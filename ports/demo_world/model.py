"""The demo world's model: a small chunk-causal DiT built from the Wan parts."""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from ports.demo_world import codec, renderer
from ports.wan.attention import attention
from ports.wan.dit import MLP, DiTBlock, Head, TimeEmbedding
from ports.wan.layers import Linear
from worldkv_jax.cameras import relative
from worldkv_jax.rope import Rope

PATCH = 2  # latent cells along one side of a token
GRID = (renderer.HEIGHT // codec.PATCH // PATCH, renderer.WIDTH // codec.PATCH // PATCH)  # tokens of a frame
CHUNK_FRAMES = 3
TOKENS = GRID[0] * GRID[1]


@dataclasses.dataclass(frozen=True, kw_only=True)
class DemoConfig:
    """Size of the demo model."""

    dim: int = 160
    heads: int = 4
    layers: int = 5
    ffn_dim: int = 480
    frequency_dim: int = 64

    @property
    def rope(self) -> Rope:
        """Rotary positions of one head."""
        return Rope(head_dim=self.dim // self.heads)


class Camera(NamedTuple):
    """What the camera contributes to a chunk, constant over its passes."""

    embedding: jax.Array  # [B, T, d], added to the tokens
    scale: jax.Array  # [L, B, T, d]
    shift: jax.Array  # [L, B, T, d]


class DemoDiT(nnx.Module):
    """Flow of noisy latent tokens given their diffusion time, camera rays and visible past."""

    def __init__(self, config: DemoConfig, *, rngs: nnx.Rngs):
        dim = config.dim
        self.patch_embedding = Linear(PATCH**2 * codec.CHANNELS, dim, rngs=rngs)
        self.ray_embedding = Linear(PATCH**2 * 6, dim, rngs=rngs)
        self.ray_mlp = MLP(dim, dim, dim, rngs=rngs)
        self.time_embedding = TimeEmbedding(dim, config.frequency_dim, rngs=rngs)

        @nnx.split_rngs(splits=config.layers)
        @nnx.vmap
        def stack(rngs):
            return DiTBlock(dim, config.heads, config.ffn_dim, rngs=rngs)

        self.blocks = stack(rngs)  # every leaf with a leading layer axis
        self.head = Head(dim, PATCH**2 * codec.CHANNELS, rngs=rngs)

    def prepare_camera(self, rays: jax.Array) -> Camera:
        """Embed ray features ``[B, T, 24]`` and compute every block's camera scale and shift."""
        embedding = self.ray_embedding(rays)
        embedding = embedding + self.ray_mlp(embedding)
        film, weights = nnx.split(self.blocks.camera)
        scale, shift = jax.lax.map(lambda w: nnx.merge(film, w)(embedding), weights)
        return Camera(embedding, scale, shift)

    def __call__(self, tokens, t, camera: Camera, rope, *, context=None, mask=None, collect=None):
        """Predict the flow (noise minus clean) of every token.

        Args:
            tokens: ``[B, T, 80]`` noisy latent tokens.
            t: ``[B, G]`` diffusion time of each of ``G`` equal groups of tokens, in [0, 1].
            camera: of `prepare_camera`.
            rope: cosine and sine ``[B, T, H / 2]`` or ``[T, H / 2]``.
            context: the visible past; ``None`` for none.
            mask: bool ``[B, T, T]`` among own tokens; training only, excludes ``context``.
            collect: what to gather of every layer's `QKV`, stacked over layers; a denoising pass gathers nothing.

        Returns:
            Flow float32 ``[B, T, 80]``, and what was collected.
        """
        embedding, time_rows = self.time_embedding(1000.0 * t)
        x = (self.patch_embedding(tokens) + camera.embedding).astype(jnp.float32)
        visible = None if context is None else tokens.shape[1] + context.length
        block, weights = nnx.split(self.blocks)

        def layer(x, inputs):
            weights, scale, shift, past = inputs

            def attend(query, key, value):
                if past is not None:
                    key, value = (jnp.concatenate(pair, axis=1) for pair in zip((key, value), past))
                return attention(query, key, value, length=visible, mask=mask)

            x, own = nnx.merge(block, weights)(x, time_rows, (scale, shift), rope, attend)
            return x, collect(own) if collect else None

        if mask is not None:  # training: recomputing a block costs less than storing it, on a CPU too
            layer = jax.checkpoint(layer)
        past = None if context is None else context.span
        x, collected = jax.lax.scan(layer, x, (weights, camera.scale, camera.shift, past))
        return self.head(x, embedding), collected


def init_params(config: DemoConfig, seed: int) -> dict:
    """Draw the parameters of a model that is to be trained, as a pure dictionary."""
    return nnx.to_pure_dict(nnx.split(DemoDiT(config, rngs=nnx.Rngs(seed)))[1])


def bind(config: DemoConfig, params: dict) -> DemoDiT:
    """Give the model of a configuration its parameters, a pure dictionary; works under jit."""
    return nnx.merge(_structure(config), params)


@functools.lru_cache(maxsize=8)
def _structure(config: DemoConfig) -> nnx.GraphDef:
    return nnx.split(nnx.eval_shape(lambda: DemoDiT(config, rngs=nnx.Rngs(0))))[0]


def patchify(cells: jax.Array) -> jax.Array:
    """Group latent cells ``[..., F, 8, 12, c]`` into tokens ``[..., F * 24, 4c]``, frame by frame."""
    *lead, frames, _, _, channels = cells.shape
    blocks = cells.reshape(*lead, frames, GRID[0], PATCH, GRID[1], PATCH, channels)
    return jnp.swapaxes(blocks, -4, -3).reshape(*lead, frames * TOKENS, PATCH**2 * channels)


def unpatchify(tokens: jax.Array) -> jax.Array:
    """Undo `patchify`: tokens ``[..., F * 24, 4c]`` to latent cells ``[..., F, 8, 12, c]``."""
    *lead, count, features = tokens.shape
    blocks = tokens.reshape(*lead, count // TOKENS, *GRID, PATCH, PATCH, features // PATCH**2)
    return jnp.swapaxes(blocks, -4, -3).reshape(
        *lead, count // TOKENS, GRID[0] * PATCH, GRID[1] * PATCH, features // PATCH**2
    )


def ray_features(origin: jax.Array, poses: jax.Array) -> jax.Array:
    """Return raw rays ``[origin, direction]`` of each token's latent cells, ``[F * 24, 24]``.

    Args:
        origin: ``[4, 4]`` the rollout's first camera, to which all rays are relative.
        poses: ``[F, 4, 4]`` camera-to-world.
    """
    poses = relative(origin, poses)
    rows, cols = GRID[0] * PATCH, GRID[1] * PATCH
    rays = renderer.pixel_rays(rows, cols)
    rays = rays / jnp.linalg.norm(rays, axis=-1, keepdims=True)
    direction = jnp.einsum("fij,hwj->fhwi", poses[:, :3, :3], rays)
    origin = jnp.broadcast_to(poses[:, None, None, :3, 3], direction.shape)
    return patchify(jnp.concatenate([origin, direction], axis=-1))
