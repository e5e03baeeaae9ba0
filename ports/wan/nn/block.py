"""Diffusion transformer parts of the Wan family: embeddings, the block, the head.

One block serves every backbone: self-attention over own tokens and memory, camera FiLM and cross-attention
where the backbone has them, feed-forward.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from ports.wan.nn.attention import attention
from ports.wan.nn.chunk_attention import ChunkMask, chunk_attention
from ports.wan.nn.layers import LayerNorm, Linear, RMSNorm, along_last, gate, layer_norm, modulate
from ports.wan.nn.quantized import Quantized, quantize_rows, restore
from ports.wan.sharding import exchange_for_heads, exchange_for_tokens, split_tokens
from worldkv_jax.memory import KVSpan, Past
from worldkv_jax.rope import rotate, rotation


def time_sinusoid(t: jax.Array, dim: int) -> jax.Array:
    """Embed diffusion times ``[...]`` (0 to 1000) as ``[cosines | sines]``, float32 ``[..., dim]``."""
    frequencies = 10000.0 ** (-np.arange(dim // 2, dtype=np.float64) / (dim // 2))
    # The released models compute angles in float64. The whole part of a time turns as exactly as a position
    # does, and the angle of the rest is small.
    whole = jnp.floor(t)
    cos, sin = rotation(whole.astype(jnp.int32), tuple(frequencies))
    rest = (t - whole).astype(jnp.float32)[..., None]
    angle = rest * along_last(jnp.asarray(frequencies, jnp.float32), rest)
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


class Conditions(NamedTuple):
    """What a block is given besides tokens, time and past; of a whole stack, every leaf has a leading layer axis."""

    film: tuple[jax.Array | Quantized, jax.Array | Quantized] | None = None
    """Camera scale and shift ``[B, T, d]`` of `CameraFiLM`."""
    cross: tuple[jax.Array, jax.Array] | None = None
    """Keys and values ``[B, n, N, H]`` of prompt or image, of `CrossAttention.project`."""
    reference: KVSpan | None = None
    """Keys and values ``[B, n, N, H]`` that self-attention always sees besides own ones and the context."""
    extra: Any = None
    """For ``before_ffn``."""


class SelfAttention(nnx.Module):
    """Multi-head attention with RMS-normalised, rotated queries and keys."""

    def __init__(self, dim: int, heads: int, *, rngs: nnx.Rngs):
        self.q, self.k, self.v = (Linear(dim, dim, rngs=rngs) for _ in range(3))
        self.o = Linear(dim, dim, scale=0.5, rngs=rngs)
        self.norm_q, self.norm_k = RMSNorm(dim), RMSNorm(dim)
        self.heads = heads

    def __call__(self, x: jax.Array, rope, past: Past, mask: ChunkMask | None = None) -> tuple[jax.Array, QKV, Past]:
        """Attend tokens ``x [B, T, d]`` to themselves and a past; also return their own part, and the past after it.

        With a mask they are whole sequences, and see what it shows of themselves and nothing else.
        """
        query = rotate(self._split(self.norm_q(self.q(x))), *rope)
        key = rotate(self._split(self.norm_k(self.k(x))), *rope)
        value = self._split(self.v(x))
        query, key, value = map(exchange_for_heads, (query, key, value))
        if mask is not None:
            mixed = chunk_attention(query, key, value, mask)
        else:
            mixed, past = past.attend(query, KVSpan(key, value), attention)
        return self.o(exchange_for_tokens(mixed).reshape(x.shape)), QKV(query, key, value), past

    def _split(self, y):
        return y.reshape(*y.shape[:-1], self.heads, -1)


class CrossAttention(nnx.Module):
    """Multi-head attention of the tokens to a prompt or an image, without positions."""

    def __init__(self, dim: int, heads: int, *, rngs: nnx.Rngs):
        self.q, self.k, self.v = (Linear(dim, dim, rngs=rngs) for _ in range(3))
        self.o = Linear(dim, dim, scale=0.5, rngs=rngs)
        self.norm_q, self.norm_k = RMSNorm(dim), RMSNorm(dim)
        self.heads = heads

    def project(self, features: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Turn features ``[B, n, d]`` into keys and values ``[B, n, N, H]``; constant over a chunk's passes."""
        return self._split(self.norm_k(self.k(features))), self._split(self.v(features))

    def __call__(self, x: jax.Array, key: jax.Array, value: jax.Array) -> jax.Array:
        """Attend tokens ``x [B, T, d]`` to all keys and values."""
        return self.o(attention(self._split(self.norm_q(self.q(x))), key, value, few_rows=True).reshape(x.shape))

    def _split(self, y):
        return y.reshape(*y.shape[:-1], self.heads, -1)


class CameraFiLM(nnx.Module):
    """Camera-dependent scale and shift of the residual stream (LingBot-World)."""

    def __init__(self, dim: int, *, rngs: nnx.Rngs):
        self.injector = MLP(dim, dim, dim, rngs=rngs)
        self.scale = Linear(dim, dim, scale=0.02, rngs=rngs)
        self.shift = Linear(dim, dim, scale=0.3, rngs=rngs)

    def __call__(self, camera: jax.Array) -> tuple[jax.Array | Quantized, jax.Array | Quantized]:
        """Turn the camera embedding ``[B, T, d]`` into scale and shift; constant over a chunk's passes."""
        camera = split_tokens(camera)
        z = camera + self.injector(camera)
        film = split_tokens(self.scale(z)), split_tokens(self.shift(z))
        kernel = self.scale.kernel.get_value()
        # Kept over all passes of a chunk, for all layers: half the bytes where the weights are in eight bits as well.
        if isinstance(kernel, Quantized):
            return quantize_rows(film[0], kernel.kind), quantize_rows(film[1], kernel.kind)
        return film


BeforeFFN = Callable[[jax.Array, Any], tuple[jax.Array, Any]]
"""A backbone's own part of a block: takes ``x`` and `Conditions.extra`, returns the new ``x`` and anything else."""


class DiTBlock(nnx.Module):
    """One transformer block, modulated by the diffusion time.

    The residual stream is float32, everything between norms and gates in ``dtype``.
    """

    def __init__(self, dim, heads, ffn_dim, *, camera: bool = False, cross: bool = False, dtype="float32", rngs):
        self.self_attn = SelfAttention(dim, heads, rngs=rngs)
        if camera:
            self.camera = CameraFiLM(dim, rngs=rngs)
        if cross:
            self.norm3 = LayerNorm(dim)
            self.cross_attn = CrossAttention(dim, heads, rngs=rngs)
        self.ffn = MLP(dim, ffn_dim, dim, activation=jax.nn.gelu, scale=0.5, rngs=rngs)
        modulation = 0.5 / math.sqrt(dim) * jax.random.normal(rngs.params(), (6, dim))
        # Open gates: a small model trained from scratch must be able to move information at once.
        self.modulation = nnx.Param(modulation.at[jnp.array([2, 5])].add(1.0))
        self.dtype = jnp.dtype(dtype)

    def __call__(
        self,
        x: jax.Array,
        time: jax.Array,
        rope: tuple[jax.Array, jax.Array],
        past: Past,
        conditions: Conditions,
        before_ffn: BeforeFFN | None = None,
        mask: ChunkMask | None = None,
    ) -> tuple[jax.Array, QKV, Past, Any]:
        """Apply self-attention, camera FiLM, cross-attention and the feed-forward network, each where there is one.

        Args:
            x: float32 ``[B, T, d]`` residual stream.
            time: float32 ``[B, G, 6, d]`` modulation rows of `TimeEmbedding`.
            rope: cosine and sine ``[B, T, H / 2]`` or ``[T, H / 2]``.
            past: what is visible besides own tokens.
            conditions: of this block.
            before_ffn: a backbone's own part.
            mask: among own tokens, where they are whole sequences; training only, excludes a past.

        Returns:
            The new ``x``; the block's own queries, keys and values; the past, whose buffer the next block goes on
            with; and what ``before_ffn`` returned besides ``x``.
        """
        past = past.write_spans()
        rows = self.modulation[...].astype(jnp.float32)[None, None] + time
        shift_attn, scale_attn, gate_attn, shift_ffn, scale_ffn, gate_ffn = (rows[..., i, :] for i in range(6))

        x = split_tokens(x)
        h = modulate(layer_norm(x), shift_attn, scale_attn).astype(self.dtype)
        h, own, past = self.self_attn(h, rope, past, mask)
        x = x + gate(h.astype(jnp.float32), gate_attn)

        if conditions.film is not None:
            scale, shift = (restore(f) for f in conditions.film)
            x = (1 + scale) * x + shift
        if conditions.cross is not None:
            h = self.cross_attn(self.norm3(x).astype(self.dtype), *conditions.cross)
            x = x + h.astype(jnp.float32)
        extra = None
        if before_ffn is not None:
            x, extra = before_ffn(x, conditions.extra)

        h = self.ffn(modulate(layer_norm(x), shift_ffn, scale_ffn).astype(self.dtype))
        return x + gate(h.astype(jnp.float32), gate_ffn), own, past, extra


class Head(nnx.Module):
    """Final modulated norm and projection to the flow of each token."""

    def __init__(self, dim: int, d_out: int, *, rngs: nnx.Rngs):
        self.modulation = nnx.Param(jnp.zeros((2, dim)))
        self.linear = Linear(dim, d_out, scale=0.02, rngs=rngs)

    def __call__(self, x: jax.Array, time_embedding: jax.Array) -> jax.Array:
        """Map ``x [B, T, d]`` with ``time_embedding [B, G, d]`` to float32 ``[B, T, d_out]``."""
        rows = self.modulation[...].astype(jnp.float32)[None, None] + time_embedding[:, :, None]
        return self.linear(modulate(layer_norm(x), rows[:, :, 0], rows[:, :, 1]))
