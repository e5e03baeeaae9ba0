"""Blocks of the Wan 2.1 VAE, shared by encoder and decoder: residual, attention, changes of resolution, stages.

Frames are ``[B, T, H, W, c]``, and blocks compute in the dtype of their input.
"""

import jax
import jax.numpy as jnp
from flax import nnx

from ports.wan.autoencoders.layers import (
    CausalConv,
    ChannelNorm,
    FrameConv,
    TimeConv,
    channels_to_frames,
    double_pixels,
)
from ports.wan.autoencoders.streaming import Past
from ports.wan.nn.layers import Linear


class ResidualBlock(nnx.Module):
    """Two normalised causal convolutions beside a shortcut."""

    def __init__(self, c_in: int, c_out: int, *, rngs: nnx.Rngs):
        self.norm1 = ChannelNorm(c_in)
        self.conv1 = CausalConv(c_in, c_out, rngs=rngs)
        self.norm2 = ChannelNorm(c_out)
        self.conv2 = CausalConv(c_out, c_out, rngs=rngs)
        self.shortcut = None if c_in == c_out else Linear(c_in, c_out, rngs=rngs)

    def __call__(self, x: jax.Array, past: Past) -> jax.Array:
        """Map ``[B, T, H, W, c_in]`` to ``[B, T, H, W, c_out]``."""
        y = self.conv1(jax.nn.silu(self.norm1(x)), past)
        y = self.conv2(jax.nn.silu(self.norm2(y)), past)
        return y + (x if self.shortcut is None else self.shortcut(x))


class AttentionBlock(nnx.Module):
    """Attention among the pixels of each frame, with one head."""

    def __init__(self, dim: int, *, rngs: nnx.Rngs):
        self.norm = ChannelNorm(dim)
        self.qkv = Linear(dim, 3 * dim, rngs=rngs)
        self.project = Linear(dim, dim, scale=0.5, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Transform ``[B, T, H, W, dim]``."""
        qkv = self.qkv(self.norm(x)).reshape(x.shape[0] * x.shape[1], -1, 3 * x.shape[-1])
        query, key, value = jnp.split(qkv, 3, axis=-1)
        # The head is wider than fused kernels take. A pass has one frame at this resolution, so its logits are the
        # most that is ever materialised: 156 MB a world for 60 by 104 cells.
        logits = jnp.einsum("fqc,fkc->fqk", query, key, preferred_element_type=jnp.float32)
        weights = jax.nn.softmax(logits * x.shape[-1] ** -0.5, axis=-1).astype(x.dtype)
        return x + self.project(jnp.einsum("fqk,fkc->fqc", weights, value).reshape(x.shape))


class Downsample(nnx.Module):
    """Halve rows and columns, and frames too if ``temporal``."""

    def __init__(self, dim: int, *, temporal: bool, rngs: nnx.Rngs):
        self.conv = FrameConv(dim, dim, stride=2, padding=(0, 1), rngs=rngs)
        self.time_conv = TimeConv(dim, dim, stride=2, rngs=rngs) if temporal else None

    def __call__(self, x: jax.Array, past: Past) -> jax.Array:
        """Map ``[B, T, H, W, c]`` to ``[B, T or T / 2, H / 2, W / 2, c]``; the first frame of a clip stays one."""
        y = self.conv(x)
        if self.time_conv is None:
            return y
        if past.begins:
            past.remember(y[:, -1:])
            return y
        return self.time_conv(past.prepend(y, 1))


class Upsample(nnx.Module):
    """Double rows and columns and halve the channels; double the frames first if ``temporal``."""

    def __init__(self, dim: int, *, temporal: bool, remember_newest_twice: bool = False, rngs: nnx.Rngs):
        self.time_conv = TimeConv(dim, 2 * dim, rngs=rngs) if temporal else None
        self.conv = FrameConv(dim, dim // 2, rngs=rngs)
        self.remember_newest_twice = remember_newest_twice

    def __call__(self, x: jax.Array, past: Past) -> jax.Array:
        """Map ``[B, T, H, W, c]`` to ``[B, T or 2 T, 2 H, 2 W, c / 2]``; the first frame of a clip stays one."""
        if self.time_conv is not None:
            x = self._double_frames(x, past, self.time_conv)
        return self.conv(double_pixels(x))

    def _double_frames(self, x: jax.Array, past: Past, time_conv: TimeConv) -> jax.Array:
        if past.begins:  # the first frame enters no temporal convolution, not even as the past of a later one
            past.remember(past.recall(x, 2))
            return x
        if self.remember_newest_twice and x.shape[1] == 1:  # InSpatio-World; two frames at a time are as in Wan 2.1
            before = past.recall(x, 2)
            past.remember(jnp.concatenate([jnp.where(before[:, -1:] == 0, 0, x), x], axis=1))
            x = jnp.concatenate([before, x], axis=1)
        else:
            x = past.prepend(x, 2)
        return channels_to_frames(time_conv(x), 2)


class Stage(nnx.Module):
    """Residual blocks at one resolution, and the way to the next."""

    def __init__(self, c_in: int, c_out: int, *, blocks: int, resample: nnx.Module | None, rngs: nnx.Rngs):
        widths = [c_in, *(blocks - 1) * [c_out]]
        self.blocks = nnx.List([ResidualBlock(width, c_out, rngs=rngs) for width in widths])
        self.resample = resample

    def __call__(self, x: jax.Array, past: Past) -> jax.Array:
        """Transform ``[B, T, H, W, c_in]``; channels become ``c_out`` before resampling."""
        for block in self.blocks:
            x = block(x, past)
        return x if self.resample is None else self.resample(x, past)


class Middle(nnx.Module):
    """The coarsest resolution: a residual block before and after attention."""

    def __init__(self, dim: int, *, rngs: nnx.Rngs):
        self.before = ResidualBlock(dim, dim, rngs=rngs)
        self.attention = AttentionBlock(dim, rngs=rngs)
        self.after = ResidualBlock(dim, dim, rngs=rngs)

    def __call__(self, x: jax.Array, past: Past) -> jax.Array:
        """Transform ``[B, T, H, W, dim]``."""
        return self.after(self.attention(self.before(x, past)), past)


class Head(nnx.Module):
    """Final norm and causal convolution."""

    def __init__(self, dim: int, c_out: int, *, rngs: nnx.Rngs):
        self.norm = ChannelNorm(dim)
        self.conv = CausalConv(dim, c_out, rngs=rngs)

    def __call__(self, x: jax.Array, past: Past) -> jax.Array:
        """Map ``[B, T, H, W, dim]`` to ``[B, T, H, W, c_out]``."""
        return self.conv(jax.nn.silu(self.norm(x)), past)
