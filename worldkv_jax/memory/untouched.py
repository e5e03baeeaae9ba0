"""Zeros that take memory of a CPU only once they are written."""

import ctypes
import functools
import math
import mmap
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.sharding import SingleDeviceSharding

COPIED_BYTES = 2**25
"""As much is copied in less time than XLA takes to compile what fills it; it would fill more of it faster."""


def zeros(shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """Make zeros of a shape; on a CPU under Linux, pages of them are held from when something is written to them.

    XLA writes the zeros. Told that they are not needed (``madvise(2)``, MADV_DONTNEED), the system takes whole pages
    back, and private memory reads as zeros again. Where it refuses, nothing has changed but that they are held.
    """
    made = _written(shape, dtype)
    if sys.platform == "linux" and not isinstance(made, Tracer):
        for shard in made.addressable_shards:
            if shard.device.platform == "cpu":
                _give_back(jax.block_until_ready(shard.data))
    return made


def _written(shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """Make zeros; a few of them on a CPU are copied, since `jnp.zeros` is a program to compile for each shape."""
    one = jnp.zeros((), dtype)
    if not isinstance(one, Tracer) and isinstance(one.sharding, SingleDeviceSharding):
        (device,) = one.devices()
        if device.platform == "cpu" and math.prod(shape) * one.nbytes <= COPIED_BYTES:
            return jax.device_put(np.zeros(shape, one.dtype), may_alias=False)
    return jnp.zeros(shape, dtype)


def _give_back(array: jax.Array) -> None:
    start = array.unsafe_buffer_pointer()
    first, end = -(-start // mmap.PAGESIZE), (start + array.nbytes) // mmap.PAGESIZE
    if end > first:
        _madvise()(first * mmap.PAGESIZE, (end - first) * mmap.PAGESIZE, mmap.MADV_DONTNEED)


@functools.cache
def _madvise() -> Callable[[int, int, int], int]:
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return madvise
