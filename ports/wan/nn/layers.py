"""Linear and normalisation layers of Wan-style transformers."""

import jax
import jax.numpy as jnp
from flax import nnx


class Linear(nnx.Module):
    """Affine map of the last axis, computed in the dtype of its input."""

    def __init__(self, d_in: int, d_out: int, *, rngs: nnx.Rngs, scale: float = 1.0, bias: bool = True):
        std = scale * d_in**-0.5
        self.kernel = nnx.Param(std * jax.random.normal(rngs.params(), (d_in, d_out)))
        self.bias = nnx.Param(jnp.zeros(d_out)) if bias else None

    def __call__(self, x: jax.Array) -> jax.Array:
        """Map ``[..., d_in]`` to ``[..., d_out]``."""
        # Two dimensions: XLA on CPU is almost twice as slow on a product with more.
        y = x.reshape(-1, x.shape[-1]) @ self.kernel[...].astype(x.dtype)
        if self.bias is not None:
            y = y + self.bias[...].astype(x.dtype)[None]
        return y.reshape(*x.shape[:-1], -1)


class RMSNorm(nnx.Module):
    """Root-mean-square norm over the whole last axis, statistics in float32."""

    def __init__(self, dim: int, *, eps: float = 1e-6):
        self.weight = nnx.Param(jnp.ones(dim))
        self.eps = eps

    def __call__(self, x: jax.Array) -> jax.Array:
        """Normalise ``[..., dim]``."""
        y = x.astype(jnp.float32)
        y = y * jax.lax.rsqrt(jnp.mean(y * y, axis=-1, keepdims=True) + self.eps)
        return (y * along_last(self.weight[...].astype(jnp.float32), y)).astype(x.dtype)


class LayerNorm(nnx.Module):
    """Layer norm of the last axis with learned scale and shift, statistics in float32."""

    def __init__(self, dim: int, *, eps: float = 1e-6):
        self.weight = nnx.Param(jnp.ones(dim))
        self.bias = nnx.Param(jnp.zeros(dim))
        self.eps = eps

    def __call__(self, x: jax.Array) -> jax.Array:
        """Normalise ``[..., dim]``."""
        weight, bias = (along_last(a[...].astype(jnp.float32), x) for a in (self.weight, self.bias))
        return (layer_norm(x, eps=self.eps) * weight + bias).astype(x.dtype)


def along_last(vector: jax.Array, x: jax.Array) -> jax.Array:
    """Give a vector the rank of ``x``, so that it goes along its last axis."""
    return vector.reshape(*[1] * (x.ndim - 1), -1)


def layer_norm(x: jax.Array, *, eps: float = 1e-6) -> jax.Array:
    """Normalise the last axis without affine parameters, in float32."""
    x = x.astype(jnp.float32)
    mean = jnp.mean(x, axis=-1, keepdims=True)
    var = jnp.mean(jnp.square(x - mean), axis=-1, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(var + eps)


def modulate(x: jax.Array, shift: jax.Array, scale: jax.Array) -> jax.Array:
    """Shift and scale groups of tokens: ``x [B, T, d]`` by ``[B, G, d]``, ``T`` split evenly in ``G``."""
    grouped = x.reshape(x.shape[0], shift.shape[1], -1, x.shape[-1])
    return (grouped * (1 + scale[:, :, None]) + shift[:, :, None]).reshape(x.shape)


def gate(x: jax.Array, gain: jax.Array) -> jax.Array:
    """Scale groups of tokens: ``x [B, T, d]`` by ``gain [B, G, d]``, ``T`` split evenly in ``G``."""
    grouped = x.reshape(x.shape[0], gain.shape[1], -1, x.shape[-1])
    return (grouped * gain[:, :, None]).reshape(x.shape)
