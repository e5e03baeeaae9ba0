"""Bicubic resizing as PyTorch does it: cubic kernel with a = -0.75, no antialiasing, borders repeated."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

A = -0.75
"""Slope of the cubic kernel; ``jax.image.resize`` has -0.5, which is another filter."""


@functools.partial(jax.jit, static_argnames=("height", "width"), inline=True)
def bicubic(image: jax.Array, height: int, width: int) -> jax.Array:
    """Resize images without cropping; what PyTorch calls bicubic with ``align_corners=False``.

    Overshoots beyond the range of the input where an edge is sharp, as the cubic kernel does.

    Args:
        image: ``[..., H, W, C]``.
        height, width: of the result, in pixels.

    Returns:
        ``[..., height, width, C]`` float32.
    """
    rows, cols = _interpolation(image.shape[-3], height), _interpolation(image.shape[-2], width)
    # In full precision: a GPU's short products would round every pixel to three digits.
    resized = jnp.einsum("or,...rwc->...owc", rows, image.astype(jnp.float32), precision="highest")
    return jnp.einsum("ow,...rwc->...roc", cols, resized, precision="highest")


@functools.lru_cache(maxsize=32)
def _interpolation(size: int, out: int) -> np.ndarray:
    """Weights ``[out, size]`` of every sample of one axis in every resized one; each row sums to one."""
    if size < 1 or out < 1:
        raise ValueError(f"cannot resize {size} samples to {out}; both must be at least 1")
    # PyTorch keeps the step and then the positions in float32: on real images that moves values by up to 1e-4.
    step = np.float64(np.float32(size) / np.float32(out))
    centre = ((np.arange(out) + 0.5) * step - 0.5).astype(np.float32).astype(np.float64)
    first = np.floor(centre).astype(np.int64) - 1
    weights = np.zeros((out, size))
    for tap in range(4):
        sample = np.clip(first + tap, 0, size - 1)  # a tap beyond the border reads the border
        np.add.at(weights, (np.arange(out), sample), _cubic(centre - (first + tap)))
    return weights.astype(np.float32)


def _cubic(distance: np.ndarray) -> np.ndarray:
    d = np.abs(distance)
    near = ((A + 2) * d - (A + 3)) * d * d + 1
    far = ((A * d - 5 * A) * d + 8 * A) * d - 4 * A
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))
