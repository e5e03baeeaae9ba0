"""Zeros that take memory of a CPU only once they are written."""

import ctypes
import functools
import mmap
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer


def zeros(shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """Make zeros of a shape; on a CPU under Linux, pages of them are held from when something is written to them.

    XLA writes the zeros. Told that they are not needed (``madvise(2)``, MADV_DONTNEED), the system takes whole pages
    back, and private memory reads as zeros again. Where it refuses, nothing has changed but that they are held.
    """
    made = jnp.zeros(shape, dtype)
    if sys.platform == "linux" and not isinstance(made, Tracer):
        for shard in made.addressable_shards:
            if shard.device.platform == "cpu":
                _give_back(jax.block_until_ready(shard.data))
    return made


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
