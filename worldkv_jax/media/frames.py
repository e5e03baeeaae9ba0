"""Check frames, and turn them into floats or bytes."""

import jax.numpy as jnp
import numpy as np

_ROUNDING = 1e-3  # how far outside [0, 1] a float may lie: a quarter of a grey level


def check_frames(frames, *, name: str = "frames") -> np.ndarray:
    """Check that an array holds colour images.

    Args:
        frames: ``[..., h, w, 3]`` float in [0, 1], or uint8; NumPy or JAX.
        name: how error messages call the argument.

    Returns:
        The frames as a NumPy array, uint8 or a float type; floats may lie outside [0, 1] by rounding (1e-3).

    Raises:
        ValueError: wrong shape, no pixels, wrong dtype, numbers that are not finite or not in [0, 1].
    """
    array = np.asarray(frames)
    if array.ndim < 3 or array.shape[-1] != 3:
        channels_first = "; move the channels last" if array.ndim > 3 and array.shape[-3] == 3 else ""
        raise ValueError(f"{name}: got shape {array.shape}, expected [..., height, width, 3]{channels_first}")
    if array.size == 0:
        raise ValueError(f"{name}: got shape {array.shape}, which holds no pixels; give at least one frame")
    if array.dtype == np.uint8:
        return array
    if not jnp.issubdtype(array.dtype, jnp.floating):  # jax.numpy knows bfloat16
        raise ValueError(f"{name}: got {array.dtype}, expected floats in [0, 1] or uint8")
    low, high = float(array.min()), float(array.max())  # NaN wins in both
    if not np.isfinite([low, high]).all():
        bad = array.size - int(np.isfinite(array.astype(np.float32)).sum())
        raise ValueError(f"{name}: {bad} of {array.size} numbers are not finite; the model has diverged")
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        hint = " (convert frames in [-1, 1] with (x + 1) / 2)" if low >= -1.5 and high <= 1.5 else ""
        raise ValueError(f"{name}: numbers span [{low:.4g}, {high:.4g}], expected [0, 1]{hint}; clip or rescale them")
    return array


def check_video(frames, *, name: str = "frames") -> np.ndarray:
    """Check that an array holds the frames of a video ``[n, h, w, 3]``, see `check_frames`.

    Raises:
        ValueError: as `check_frames`, or another number of axes.
    """
    array = check_frames(frames, name=name)
    if array.ndim != 4:
        raise ValueError(f"{name}: got shape {array.shape}, expected [n, height, width, 3]")
    return array


def as_float(frames) -> np.ndarray:
    """Turn checked frames ``[...]`` into float32 in [0, 1]."""
    if frames.dtype == np.uint8:
        return frames.astype(np.float32) / 255
    return np.clip(frames.astype(np.float32), 0, 1)


def as_bytes(frames) -> np.ndarray:
    """Turn checked frames ``[...]`` into uint8, rounding to the nearest grey level."""
    if frames.dtype == np.uint8:
        return frames
    return np.rint(as_float(frames) * 255).astype(np.uint8)


def enlarge(frames, scale: int) -> np.ndarray:
    """Repeat every pixel of ``[..., h, w, 3]`` ``scale`` times in both directions."""
    if scale != int(scale) or scale < 1:
        raise ValueError(f"scale={scale} is not a whole number of at least 1")
    return frames.repeat(int(scale), axis=-3).repeat(int(scale), axis=-2)
