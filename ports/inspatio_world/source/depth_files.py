"""Depth in files: arrays, float32 or uint16 pictures, and lossless video."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from worldkv_jax.media import read_video
from worldkv_jax.readers import read_array, read_text, what_it_is

RANGE = "metadata.txt"
"""Beside quantised depth: its smallest and largest value."""
_LEVELS = 65535


def read_depth_array(path: Path) -> np.ndarray:
    """Read a ``.npy`` file of depth ``[n, h, w]``, or ``[h, w]`` of one image."""
    depth = read_array(path, what="depth")
    return (depth[None] if depth.ndim == 2 else depth).astype(np.float32)


def read_depth_pictures(paths: list[Path]) -> np.ndarray:
    """Read one PNG a frame: RGBA, whose bytes are a little-endian float32, or 16 bits between two values."""
    pictures = [_read_picture(path) for path in paths]
    for path, picture in zip(paths, pictures):
        if picture.shape != pictures[0].shape:
            raise ValueError(f"{path} is {picture.shape} pixels, {paths[0].name} {pictures[0].shape}")
    return np.stack(pictures)


def _read_picture(path: Path) -> np.ndarray:
    """Read the raw numbers, which `read_picture` would take for colours."""
    try:
        with Image.open(path, formats=("PNG", "TIFF")) as image:
            image.load()
    except Exception as error:  # of a decoder that is fed arbitrary bytes: whatever its helpers raise
        if isinstance(error, MemoryError | PermissionError):
            raise
        raise ValueError(
            f"{path} is not a depth picture that can be read: {what_it_is(path) or 'damaged or cut short'} ({error})"
        ) from None
    if image.mode == "RGBA":
        return np.ascontiguousarray(np.asarray(image)).view("<f4")[..., 0].astype(np.float32)
    if image.mode in ("I;16", "I;16B", "I"):
        return _dequantise(np.asarray(image).astype(np.int64), path)
    raise ValueError(
        f"{path} is a picture of mode {image.mode}; depth is RGBA (float32 bytes) or one channel of 16 bits"
    )


def read_depth_video(path: Path, *, limit: int, tell: Callable[[str], object]) -> np.ndarray:
    """Read a lossless RGB video, float32 ``[n, h, w]``: red is the high byte of 16 bits, green the low one."""
    frames, _ = read_video(path, limit=limit, tell=tell)
    return _dequantise(frames[..., 0].astype(np.int64) * 256 + frames[..., 1], path)


def _dequantise(levels: np.ndarray, path: Path) -> np.ndarray:
    place = path.with_name(RANGE)
    if not place.is_file():
        raise FileNotFoundError(
            f"{place} is missing; it holds the smallest and largest depth that {path.name} stands for"
        )
    try:
        low, high = (float(word) for word in read_text(place).split())
    except ValueError:
        raise ValueError(f"{place}: expected two numbers, the smallest and the largest depth") from None
    if not np.isfinite([low, high]).all() or low > high:
        raise ValueError(f"{place}: {low} to {high} is no range of depths")
    return (low + levels / _LEVELS * (high - low)).astype(np.float32)


def write_depth_picture(path: Path, depth: np.ndarray) -> None:
    """Write depth ``[h, w]`` as RGBA whose bytes are a float32, without loss."""
    height, width = depth.shape
    Image.fromarray(np.ascontiguousarray(depth, "<f4").view(np.uint8).reshape(height, width, 4)).save(path)
