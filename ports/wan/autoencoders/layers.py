"""Layers of streaming auto-encoders: convolutions of frames and over frames, their norm, changes of shape.

Frames are ``[B, T, H, W, c]``, and layers compute in the dtype of their input.
"""

import functools
import math

import jax
import jax.numpy as jnp
from flax import nnx

from ports.wan.autoencoders.streaming import Past
from ports.wan.nn.layers import along_last


def side_by_side(x: jax.Array, frames: int, *, stride: int = 1) -> jax.Array:
    """Put runs of consecutive frames side by side on the channel axis, oldest first.

    Args:
        x: ``[B, T, H, W, c]``.
        frames: length of a run.
        stride: frames from one run to the next.

    Returns:
        ``[B, (T - frames) // stride + 1, H, W, frames * c]``.
    """
    last = x.shape[1] - frames + 1
    return jnp.concatenate([x[:, i : last + i : stride] for i in range(frames)], axis=-1)


def channels_to_frames(x: jax.Array, frames: int) -> jax.Array:
    """Split the channels of each frame into frames, oldest first: ``[B, frames * T, H, W, c / frames]``."""
    batch, count, height, width, channels = x.shape
    parts = x.reshape(batch, count, height, width, frames, channels // frames)
    return jnp.moveaxis(parts, 4, 2).reshape(batch, count * frames, height, width, -1)


def double_pixels(x: jax.Array) -> jax.Array:
    """Repeat rows and columns of ``[B, T, H, W, c]``: the nearest neighbour at twice the resolution."""
    return x.repeat(2, axis=2).repeat(2, axis=3)


def convolve(
    x: jax.Array, kernel: jax.Array, bias: jax.Array | None, *, stride: int = 1, padding: tuple[int, int] = (1, 1)
) -> jax.Array:
    """Convolve every frame on its own.

    Args:
        x: ``[B, T, H, W, c_in]``.
        kernel: ``[kh, kw, c_in, c_out]``.
        bias: ``[c_out]``.
        stride: of rows and columns.
        padding: zeros before and after the rows, and before and after the columns.
    """
    y = jax.lax.conv_general_dilated(
        x.reshape(-1, *x.shape[2:]),
        kernel.astype(x.dtype),
        window_strides=(stride, stride),
        padding=(padding, padding),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    y = y if bias is None else y + along_last(bias.astype(x.dtype), y)
    return y.reshape(*x.shape[:2], *y.shape[1:])


class FrameConv(nnx.Module):
    """Convolution of every frame on its own, with a window of 3x3."""

    def __init__(
        self,
        c_in: int,
        c_out: int,
        *,
        stride: int = 1,
        padding: tuple[int, int] = (1, 1),
        bias: bool = True,
        rngs: nnx.Rngs,
    ):
        self.kernel = nnx.Param(_draw_kernel((3, 3, c_in, c_out), rngs))
        self.bias = nnx.Param(jnp.zeros(c_out)) if bias else None
        self.stride, self.padding = stride, padding

    def __call__(self, x: jax.Array) -> jax.Array:
        """Map ``[B, T, H, W, c_in]`` to ``[B, T, H / stride, W / stride, c_out]``."""
        bias = None if self.bias is None else self.bias[...]
        return convolve(x, self.kernel[...], bias, stride=self.stride, padding=self.padding)


class _OverTime(nnx.Module):
    """Kernel over three consecutive frames; rows and columns are padded, frames are not."""

    def __init__(self, c_in: int, c_out: int, *, window: int, stride: int, rngs: nnx.Rngs):
        self.kernel = nnx.Param(_draw_kernel((window, window, 3, c_in, c_out), rngs))
        self.bias = nnx.Param(jnp.zeros(c_out))
        self.stride = stride

    def convolve(self, x: jax.Array) -> jax.Array:
        """Map ``[B, T, H, W, c_in]`` to ``[B, (T - 3) // stride + 1, H, W, c_out]``."""
        kernel, bias = self.kernel[...], self.bias[...]
        window, _, frames, _, c_out = kernel.shape
        padding, last = (window // 2, window // 2), x.shape[1] - frames + 1

        # In two dimensions: XLA transposes all that enters and leaves a convolution of three on a GPU, and takes twice
        # as long for one on a CPU.
        def with_neighbours_for_channels(x: jax.Array) -> jax.Array:
            joined = kernel.reshape(window, window, -1, c_out)
            return convolve(side_by_side(x, frames, stride=self.stride), joined, bias, padding=padding)

        def frame_by_frame(x: jax.Array) -> jax.Array:
            runs = (x[:, i : last + i : self.stride] for i in range(frames))
            parts = (convolve(run, kernel[:, :, i], None if i else bias, padding=padding) for i, run in enumerate(runs))
            return functools.reduce(jnp.add, parts)

        # The one copies frames, which takes a CPU an eighth of the time where they are large, the other the kernel.
        on_cpu = frame_by_frame if x.size > kernel.size else with_neighbours_for_channels
        return jax.lax.platform_dependent(x, cpu=on_cpu, default=with_neighbours_for_channels)


class TimeConv(_OverTime):
    """Convolution over three consecutive frames of a pixel."""

    def __init__(self, c_in: int, c_out: int, *, stride: int = 1, rngs: nnx.Rngs):
        super().__init__(c_in, c_out, window=1, stride=stride, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Map ``[B, T, H, W, c_in]`` to ``[B, (T - 3) // stride + 1, H, W, c_out]``."""
        return self.convolve(x)


class CausalConv(_OverTime):
    """Convolution over a frame and the two before it, with a window of 3x3x3."""

    def __init__(self, c_in: int, c_out: int, *, rngs: nnx.Rngs):
        super().__init__(c_in, c_out, window=3, stride=1, rngs=rngs)

    def __call__(self, x: jax.Array, past: Past) -> jax.Array:
        """Map ``[B, T, H, W, c_in]`` to ``[B, T, H, W, c_out]``."""
        return self.convolve(past.prepend(x, 2))


class ChannelNorm(nnx.Module):
    """Scale the channels of each pixel to a root mean square of ``gamma``, in float32."""

    def __init__(self, dim: int):
        self.gamma = nnx.Param(jnp.ones(dim))

    def __call__(self, x: jax.Array) -> jax.Array:
        """Normalise ``[..., dim]``."""
        y = x.astype(jnp.float32)
        length = jnp.sqrt(jnp.sum(y * y, axis=-1, keepdims=True))
        y = y / jnp.maximum(length, 1e-12) * x.shape[-1] ** 0.5
        return (y * along_last(self.gamma[...].astype(jnp.float32), y)).astype(x.dtype)


def _draw_kernel(shape: tuple[int, ...], rngs: nnx.Rngs) -> jax.Array:
    """Draw a kernel ``[*window, c_in, c_out]`` that keeps the variance of its input."""
    return math.prod(shape[:-1]) ** -0.5 * jax.random.normal(rngs.params(), shape)
