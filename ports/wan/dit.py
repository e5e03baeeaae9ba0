"""Diffusion transformer parts of the Wan family: embeddings, the block, the head.

One block serves every backbone: self-attention over own tokens and memory, optional camera FiLM
(LingBot-World), feed-forward; all but the attention is modulated by the diffusion time.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from ports.wan.layers import Linear, RMSNorm, gate, layer_norm, modulate
from worldkv_jax.rope import rotate, rotation

Attend = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]


def time_sinusoid(t: jax.Array, dim: int) -> jax.Array:
    """Embed diffusion times ``[...]`` (0 to 1000) as ``[cosines | sines]``, float32 ``[..., dim]``."""
    frequencies = 10000.0 ** (-np.arange(dim // 2, dtype=np.float64) / (dim // 2))
    # The released models compute angles in float64. The whole part of a time turns as exactly as a position
    # does, and the angle of the rest is small.
    whole = jnp.floor(t)
    cos, sin = rotation(whole.astype(jnp.int32), tuple(frequencies))
    angle = (t - whole).astype(jnp.float32)[..., None] * jnp.asarray(frequencies, jnp.float32)
    c, s = jnp.cos(angle), jnp.sin(angle)
    return jnp.concatenate([cos * c - sin * s, sin * c + cos * s], axis=-1)


class MLP(nnx.Module):
    """Two linear layers with an activation between them."""

    def __init__(self, d_in, d_hidden, d_out, *, activation=jax.nn.silu, scale: float = 1.0, rngs: nnx.Rngs):
        self.first = Linear(d_in, d_hidden, rngs=rngs)
        self.second = Linear(d_hidden, d_out, scale=scale, rngs=rngs)
        self.activation = activation

    def __call__(self, x: jax.Array) -> jax.Array:
        """Map ``[..., d_in]`` to ``[..., d_out]``."""
        return self.second(self.activation(self.first(x)))


class TimeEmbedding(nnx.Module):
    """Diffusion time to the embedding of the head and the six modulation rows of the blocks."""

    def __init__(self, dim: int, frequency_dim: int, *, rngs: nnx.Rngs):
        self.mlp = MLP(frequency_dim, dim, dim, rngs=rngs)
        self.project = Linear(dim, 6 * dim, scale=0.1, rngs=rngs)
        self.frequency_dim = frequency_dim

    def __call__(self, t: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Embed ``t [B, G]`` as float32 ``[B, G, d]`` and ``[B, G, 6, d]``."""
        embedding = self.mlp(time_sinusoid(t, self.frequency_dim))
        rows = self.project(jax.nn.silu(embedding))
        return embedding, rows.reshape(*embedding.shape[:-1], 6, -1)


class QKV(NamedTuple):
    """A chunk's own queries, keys (both after RoPE) and values in one layer."""

    query: jax.Array  # [B, T, N, H]
    key: jax.Array  # [B, T, N, H]
    value: jax.Array  # [B, T, N, H]


class SelfAttention(nnx.Module):
    """Multi-head attention with RMS-normalised, rotated queries and keys."""

    def __init__(self, dim: int, heads: int, *, rngs: nnx.Rngs):
        self.q, self.k, self.v = (Linear(dim, dim, rngs=rngs) for _ in range(3))
        self.o = Linear(dim, dim, scale=0.5, rngs=rngs)
        self.norm_q, self.norm_k = RMSNorm(dim), RMSNorm(dim)
        self.heads = heads

    def __call__(self, x: jax.Array, rope, attend: Attend) -> tuple[jax.Array, QKV]:
        """Attend tokens ``x [B, T, d]``; also return their own queries, keys and values."""

        def split(y):
            return y.reshape(*y.shape[:-1], self.heads, -1)

        query = rotate(split(self.norm_q(self.q(x))), *rope)
        key = rotate(split(self.norm_k(self.k(x))), *rope)
        value = split(self.v(x))
        own = QKV(query, key, value)
        return self.o(attend(*own).reshape(x.shape)), own


class CameraFiLM(nnx.Module):
    """Camera-dependent scale and shift of the residual stream (LingBot-World)."""

    def __init__(self, dim: int, *, rngs: nnx.Rngs):
        self.injector = MLP(dim, dim, dim, rngs=rngs)
        self.scale = Linear(dim, dim, scale=0.02, rngs=rngs)
        self.shift = Linear(dim, dim, scale=0.3, rngs=rngs)

    def __call__(self, camera: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Turn the camera embedding ``[B, T, d]`` into scale and shift; constant over a chunk's passes."""
        z = camera + self.injector(camera)
        return self.scale(z), self.shift(z)


class DiTBlock(nnx.Module):
    """Self-attention, camera FiLM and feed-forward, modulated by the diffusion time."""

    def __init__(self, dim: int, heads: int, ffn_dim: int, *, rngs: nnx.Rngs):
        self.self_attn = SelfAttention(dim, heads, rngs=rngs)
        self.camera = CameraFiLM(dim, rngs=rngs)
        self.ffn = MLP(dim, ffn_dim, dim, activation=jax.nn.gelu, scale=0.5, rngs=rngs)
        modulation = 0.5 / math.sqrt(dim) * jax.random.normal(rngs.params(), (6, dim))
        # Open gates: a small model trained from scratch must be able to move information at once.
        self.modulation = nnx.Param(modulation.at[jnp.array([2, 5])].add(1.0))

    def __call__(self, x: jax.Array, time_rows: jax.Array, film, rope, attend: Attend):
        """Transform the residual stream.

        Args:
            x: float32 ``[B, T, d]`` residual stream.
            time_rows: float32 ``[B, G, 6, d]`` of `TimeEmbedding`.
            film: scale and shift ``[B, T, d]`` of `CameraFiLM`.
            rope: cosine and sine ``[B, T, H / 2]`` or ``[T, H / 2]``.
            attend: attention of own queries, keys and values to whatever is visible.

        Returns:
            The new ``x`` and the block's own queries, keys and values.
        """
        dtype = film[0].dtype
        rows = self.modulation[...].astype(jnp.float32) + time_rows
        shift_sa, scale_sa, gate_sa, shift_ff, scale_ff, gate_ff = (rows[..., i, :] for i in range(6))
        h = modulate(layer_norm(x), shift_sa, scale_sa).astype(dtype)
        h, own = self.self_attn(h, rope, attend)
        x = x + gate(h.astype(jnp.float32), gate_sa)
        scale, shift = (f.astype(jnp.float32) for f in film)
        x = (1 + scale) * x + shift
        h = modulate(layer_norm(x), shift_ff, scale_ff).astype(dtype)
        return x + gate(self.ffn(h).astype(jnp.float32), gate_ff), own


class Head(nnx.Module):
    """Final modulated norm and projection to the flow of each token."""

    def __init__(self, dim: int, d_out: int, *, rngs: nnx.Rngs):
        self.modulation = nnx.Param(jnp.zeros((2, dim)))
        self.linear = Linear(dim, d_out, scale=0.02, rngs=rngs)

    def __call__(self, x: jax.Array, time_embedding: jax.Array) -> jax.Array:
        """Map ``x [B, T, d]`` with ``time_embedding [B, G, d]`` to float32 ``[B, T, d_out]``."""
        rows = self.modulation[...].astype(jnp.float32) + time_embedding[:, :, None]
        return self.linear(modulate(layer_norm(x), rows[:, :, 0], rows[:, :, 1]))
