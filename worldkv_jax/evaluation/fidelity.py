"""Fidelity of frames to a reference: PSNR and SSIM of every frame, by dm_pix."""

from collections.abc import Callable

import dm_pix
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from worldkv_jax.media.frames import as_float, check_frames

Measure = Callable[[np.ndarray, np.ndarray], jax.Array]
"""Scores frames ``[n, h, w, 3]`` in [0, 1] against as many others: ``[n]``."""

PSNR_CAP = 100.0  # dB; the score of identical frames, so that means stay finite
SSIM_WINDOW = 11  # pixels; side of the Gaussian window (sigma 1.5) of Wang et al. 2004

_BLOCK_VALUES = 2**22  # numbers of one block of frames; SSIM holds about a dozen arrays of this size


def psnr(a: ArrayLike, b: ArrayLike) -> np.ndarray:
    """Compute the peak signal-to-noise ratio of every frame.

    Args:
        a: frames ``[..., h, w, 3]`` float in [0, 1] or uint8, NumPy or JAX.
        b: reference frames of the same shape; the result is the same if they are exchanged.

    Returns:
        PSNR ``[...]`` in dB, float32, at most `PSNR_CAP` (which identical frames get).

    Raises:
        ValueError: different shapes, no pixels, or numbers that are not finite or not in [0, 1].
    """
    return np.minimum(_per_frame(_psnr, *_check_pair(a, b)), np.float32(PSNR_CAP))


def ssim(a: ArrayLike, b: ArrayLike) -> np.ndarray:
    """Compute the structural similarity of every frame, averaged over colour channels.

    The window is a Gaussian of 11 x 11 pixels (Wang et al. 2004); borders where it does not fit are left out.

    Args:
        a: frames ``[..., h, w, 3]`` float in [0, 1] or uint8, NumPy or JAX; no side below 11 pixels.
        b: reference frames of the same shape.

    Returns:
        SSIM ``[...]`` in [-1, 1], float32; 1 for identical frames.

    Raises:
        ValueError: as `psnr`, or a side below 11 pixels.
    """
    a, b = _check_pair(a, b)
    height, width = a.shape[-3:-1]
    if min(height, width) < SSIM_WINDOW:
        raise ValueError(
            f"frames of {height} x {width} pixels are smaller than the SSIM window of {SSIM_WINDOW}; use psnr"
        )
    return _per_frame(_ssim, a, b)


# dm_pix mixes integers and floats, which JAX refuses under strict promotion.
@jax.jit
def _psnr(a: jax.Array, b: jax.Array) -> jax.Array:
    with jax.numpy_dtype_promotion("standard"):
        return jnp.asarray(dm_pix.psnr(a, b))


@jax.jit
def _ssim(a: jax.Array, b: jax.Array) -> jax.Array:
    with jax.numpy_dtype_promotion("standard"):
        return jnp.asarray(dm_pix.ssim(a, b))


def _check_pair(a: ArrayLike, b: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    a, b = check_frames(a, name="a"), check_frames(b, name="b")
    if a.shape != b.shape:
        raise ValueError(f"a has shape {a.shape}, b has {b.shape}; compare frames of the same shape")
    return a, b


def score_in_blocks(measure: Measure, frames: np.ndarray, others: np.ndarray, block: int) -> np.ndarray:
    """Score checked frames ``[n, h, w, 3]`` against others, ``block`` at once: a long video needs little memory."""
    scores = [
        np.asarray(measure(as_float(frames[i : i + block]), as_float(others[i : i + block])))
        for i in range(0, len(frames), block)
    ]
    return np.concatenate(scores)


def _per_frame(measure: Measure, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Score frame by frame, in blocks of so many numbers."""
    leading, frame = a.shape[:-3], a.shape[-3:]
    block = max(1, _BLOCK_VALUES // int(np.prod(frame)))
    return score_in_blocks(measure, a.reshape(-1, *frame), b.reshape(-1, *frame), block).reshape(leading)
