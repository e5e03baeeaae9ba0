"""A backbone small enough for tests: two softmax-attention layers over own and remembered tokens."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from worldkv_jax.memory import Context, KVSpan, KVSpec
from worldkv_jax.rollout import AttentionQueries, ChunkInput, Schedule, shifted_schedule
from worldkv_jax.rope import Rope

LAYERS, HEADS, HEAD_DIM, FRAMES, CHANNELS = 2, 2, 8, 3, 5
GRID = (2, 2)
TOKENS = GRID[0] * GRID[1]
TWO_STEPS = shifted_schedule(2, shift=3.0)


class Prepared(NamedTuple):
    """What is constant over the passes of a chunk."""

    cameras: jax.Array  # [B, T, heads * HEAD_DIM]
    rope: tuple[jax.Array, jax.Array]
    carry: jax.Array  # [B], chunks made before


@dataclasses.dataclass(frozen=True)
class TinyBackbone:
    """Deterministic, with a carry that counts chunks and a decoder that blends a chunk with the one before."""

    schedule: Schedule = TWO_STEPS
    heads: int = HEADS

    lag = 0

    @property
    def rope(self) -> Rope:
        """Rotary positions of a head."""
        return Rope(head_dim=HEAD_DIM)

    @property
    def spec(self) -> KVSpec:
        """Shape of the keys and values."""
        return KVSpec(layers=LAYERS, heads=self.heads, head_dim=HEAD_DIM, tokens_per_frame=TOKENS, rope=self.rope)

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Latents of a chunk: frames, tokens, channels."""
        return FRAMES, TOKENS, CHANNELS

    def init_params(self, seed: int = 0) -> dict[str, jax.Array]:
        """Draw weights that make every past token matter."""
        dim = self.heads * HEAD_DIM
        shapes = {
            "camera": (12, dim),
            "embed": (CHANNELS + 1, dim),
            "qkv": (LAYERS, 3, dim, dim),
            "out": (LAYERS, dim, dim),
            "head": (dim, CHANNELS),
        }
        keys = jax.random.split(jax.random.key(seed), len(shapes))
        return {
            name: jax.random.normal(key, shape) * shape[-2] ** -0.5
            for key, (name, shape) in zip(keys, shapes.items(), strict=True)
        }

    def init_carry(self, params, worlds: int) -> jax.Array:
        """Count no chunk."""
        return jnp.zeros((worlds,), jnp.float32)

    def prepare_chunk(self, params, carry, chunk: ChunkInput, position) -> Prepared:
        """Embed the cameras and compute the rotary positions."""
        cameras = chunk.cameras[:, :, :3].reshape(*chunk.cameras.shape[:2], 12) @ params["camera"]
        frames = position * FRAMES + jnp.arange(FRAMES, dtype=jnp.int32)
        return Prepared(jnp.repeat(cameras, TOKENS, axis=1), self.rope.grid(frames, *GRID), carry)

    def flow(self, params, x, t, prepared: Prepared, context: Context) -> jax.Array:
        """Predict the flow."""
        return self._forward(params, x, t, prepared, context)[0]

    def commit(self, params, x0, prepared: Prepared, context: Context) -> tuple[KVSpan, Any]:
        """Run the clean pass and count the chunk."""
        _, (_, keys, values) = self._forward(params, x0, jnp.float32(0), prepared, context)
        return KVSpan(keys, values), prepared.carry + 1

    def attention_queries(self, params, x, t, prepared: Prepared, context: Context) -> AttentionQueries:
        """Return what the attention of a pass asks with."""
        _, (query, key, _) = self._forward(params, x, t, prepared, context)
        return AttentionQueries(query.mean(axis=2), query, key)

    def init_decoder(self, params, worlds: int) -> jax.Array:
        """Start from black."""
        return jnp.zeros((worlds, *GRID, 3))

    def decode(self, params, latents, decoder) -> tuple[jax.Array, jax.Array]:
        """Decode to frames of 2 x 2 pixels, each blended with the last frame of the chunk before."""
        pixels = jax.nn.sigmoid(latents[..., :3]).reshape(latents.shape[0], FRAMES, *GRID, 3)
        return 0.5 * (pixels + decoder[:, None]), pixels[:, -1]

    def _forward(self, params, x, t, prepared: Prepared, context: Context):
        worlds, own = x.shape[0], FRAMES * TOKENS
        x = x.reshape(worlds, own, CHANNELS)
        x = jnp.concatenate([x, jnp.broadcast_to(t, (*x.shape[:2], 1))], axis=-1) @ params["embed"]
        x = x + prepared.cameras
        visible = jnp.arange(own + context.span.keys.shape[2]) < own + context.length

        def layer(x, inputs):
            qkv, out, past = inputs
            heads = (worlds, own, self.heads, HEAD_DIM)
            query, key, value = (jnp.tanh(x @ w).reshape(heads) for w in qkv)
            query, key = (_rotate(a, prepared.rope) for a in (query, key))
            keys = jnp.concatenate([key, past.keys], axis=1)
            values = jnp.concatenate([value, past.values], axis=1)
            logits = jnp.where(visible, jnp.einsum("btnh,bsnh->bnts", query, keys), -1e9)
            mixed = jnp.einsum("bnts,bsnh->btnh", jax.nn.softmax(logits), values)
            return x + mixed.reshape(x.shape) @ out, (query, key, value)

        weights = (params["qkv"], params["out"], context.span)
        x, collected = jax.lax.scan(layer, x, weights)
        return (x @ params["head"]).reshape(worlds, *self.latent_shape), collected


class BlindBackbone:
    """The tiny one, but nobody can ask where it looks."""

    def __init__(self):
        self.inner = TinyBackbone()

    def __getattr__(self, name):
        if name == "attention_queries":
            raise AttributeError(name)
        return getattr(self.inner, name)


def _rotate(x, rope):
    cos, sin = (a[None, :, None, :] for a in rope)
    a, b = x[..., 0::2], x[..., 1::2]
    return jnp.stack([a * cos - b * sin, a * sin + b * cos], axis=-1).reshape(x.shape)
