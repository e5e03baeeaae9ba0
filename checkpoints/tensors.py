"""Tensors of files: known by name, shape and dtype, read only where they are touched."""

import ctypes
import dataclasses
import math
import mmap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

_FLOATING = ("float32", "float16", ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2)
_OTHER = ("float64", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8", "bool", "complex64")
DTYPES: Mapping[str, np.dtype] = {dtype.name: dtype for dtype in (np.dtype(kind) for kind in _FLOATING + _OTHER)}
"""What a file may hold, by NumPy's name."""

_LINE = 64  # bytes that a cache fetches at once, and to which JAX aligns its arrays
_COUNTED = 1 << 20  # numbers that are looked at at once
_MMAP_THRESHOLD = -3  # of glibc's malloc.h


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LazyTensor:
    """A tensor that is still in its file."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    file: Path
    open: Callable[[], np.ndarray]
    """Map it: a read-only array, of any strides, whose pages come from the file as they are touched."""

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.size * self.dtype.itemsize


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class TensorFile:
    """One file of tensors."""

    path: Path
    tensors: Mapping[str, LazyTensor]
    ignored: tuple[str, ...] = ()
    """Names of what it holds besides tensors."""
    metadata: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """What its header says of the file."""
    verify: Callable[[Callable[[int], Any]], None] = lambda progress: None
    """Compare all data with the checksums that the format has, if it has any; is told the bytes it has read.
    Raises ``ValueError`` where they differ."""

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.path.stat().st_size


def map_file(path: Path) -> np.ndarray:
    """Map a file as read-only bytes ``[size]``; takes no memory but pages that the system may drop."""
    with open(path, "rb") as file:
        if not path.stat().st_size:  # which cannot be mapped
            return np.zeros(0, np.uint8)
        return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)


def give_back_pages(array: np.ndarray) -> None:
    """Drop the pages of an array of `map_file` that has been read: until then they count as memory of the process.

    They come again from the file if they are touched again. An array that is not mapped is left alone.
    """
    base = array
    while isinstance(base, np.ndarray):
        base = base.base
    mapping = getattr(base, "obj", None)
    if not isinstance(mapping, mmap.mmap) or not array.size or not hasattr(mmap, "MADV_DONTNEED"):
        return
    start = array.ctypes.data - np.frombuffer(mapping, np.uint8).ctypes.data
    end = start + sum((size - 1) * stride for size, stride in zip(array.shape, array.strides)) + array.itemsize
    start -= start % mmap.PAGESIZE
    mapping.madvise(mmap.MADV_DONTNEED, start, end - start)


def copy_as(
    array: np.ndarray, dtype: Any = None, *, staging: np.ndarray | None = None, out: np.ndarray | None = None
) -> np.ndarray:
    """Copy an array to C order, casting to the nearest number, ties to even.

    Args:
        array: of any strides.
        dtype: that of the array by default.
        staging: bytes to put the copy in; new ones by default.
        out: the array to put it in instead, of the same shape, which says the dtype.

    Raises:
        ValueError: a finite number is too large for float16.
    """
    dtype = np.dtype(dtype or array.dtype)
    if out is None:
        room = np.empty(array.size * dtype.itemsize, np.uint8) if staging is None else staging
        out = room[: array.size * dtype.itemsize].view(dtype).reshape(array.shape)
    with np.errstate(over="ignore"):  # what matters of it is found below
        if array.flags.c_contiguous or not array.size:
            out[...] = array
        else:
            # In strips of what lies furthest apart: a transposed array read at once fetches cache lines many times. A
            # strip is as wide as a line of the copy: each is written at once, and what is read stays in cache.
            axis, width = int(np.argmax(np.abs(array.strides))), _LINE // out.itemsize
            for start in range(0, array.shape[axis], width):
                strip = (slice(None),) * axis + (slice(start, start + width),)
                out[strip] = array[strip].astype(out.dtype, copy=False)  # in its own order, which is twice as fast
    if out.dtype == np.float16 and array.dtype != np.float16 and np.isinf(out).sum() > np.isinf(array).sum():
        raise ValueError("it holds numbers above 65504, which float16 cannot; use bfloat16 or float32")
    return out


def aligned_empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Make an array whose memory JAX takes over on a CPU instead of copying it."""
    dtype = np.dtype(dtype)
    memory = np.empty(math.prod(shape) * dtype.itemsize + _LINE, np.uint8)
    start = -memory.ctypes.data % _LINE
    return memory[start : start + memory.size - _LINE].view(dtype).reshape(shape)


def is_floating(dtype: np.dtype) -> bool:
    """Tell whether a dtype is one that weights may have: floating and at most 32 bits wide."""
    return dtype in [np.dtype(kind) for kind in _FLOATING]


def count_not_finite(array: np.ndarray) -> int:
    """Count NaN and infinity in an array of any dtype, a strip at a time."""
    if array.dtype.kind in "iub":
        return 0
    rows = array.reshape(-1) if array.flags.c_contiguous else array
    if not rows.ndim:
        return int(not np.isfinite(rows))
    step = max(1, _COUNTED // max(1, math.prod(rows.shape[1:])))
    strips = (rows[start : start + step] for start in range(0, len(rows), step))
    return sum(strip.size - int(np.isfinite(strip).sum()) for strip in strips)


def common_dtype(found: set[np.dtype], wanted: np.dtype | None) -> np.dtype:
    """Return the dtype of a parameter whose layers have these dtypes; float32 holds all of them exactly."""
    if wanted is not None and all(map(is_floating, found)):
        return wanted
    return found.pop() if len(found) == 1 else np.dtype(np.float32)


def give_back_what_is_freed() -> None:
    """Let the C library return freed arrays to the system at once; glibc would keep some for each thread."""
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(_MMAP_THRESHOLD, 128 << 10)  # the default, but no longer raised by whoever frees more
