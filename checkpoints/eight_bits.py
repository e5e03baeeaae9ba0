"""Kernels in eight bits on disk: rounded as they are converted, two arrays in the place of one.

A network whose kernels can be so says it in `Component.in_eight_bits`. A kernel ``[d_in, d_out]`` becomes ``values``,
``[d_out, d_in]`` in int8 or float8, and ``scale``, float32 ``[d_out, 1]``. PyTorch's names for the two are those of
compressed-tensors: ``weight`` and ``weight_scale``.
"""

import re
from collections.abc import Iterable, Iterator

import ml_dtypes
import numpy as np

from checkpoints.key_tables import KEEP, Row

DTYPES = {"int8": np.dtype(np.int8), "fp8": np.dtype(ml_dtypes.float8_e4m3fn)}
"""Each kind of eight bits."""
_LARGEST = {DTYPES["int8"]: 127.0, DTYPES["fp8"]: 448.0}
_VALUES, _SCALE = "values", "scale"
_PART = re.compile(rf"(^|/)kernel/({_VALUES}|{_SCALE})$")
_NUMBERS_AT_ONCE = 1 << 18


def parts(path: str) -> tuple[str, str]:
    """Return the paths of a kernel's values and scale."""
    return f"{path}/{_VALUES}", f"{path}/{_SCALE}"


def is_part(path: str) -> bool:
    """Tell whether a parameter is part of a kernel in eight bits, which no dtype that is asked for changes."""
    return _PART.search(path) is not None


def rows_of_parts(rows: Iterable[Row]) -> list[Row]:
    """Return a key table with what names the parts of kernels; it is read as any other."""
    found = list(rows)
    for row in rows:
        if row.path.endswith("kernel"):
            values, scale = parts(row.path)
            found += [Row(row.key, values, KEEP), Row(f"{row.key}_scale", scale, KEEP)]
    return found


class RoundedKernel:
    """A kernel in eight bits that is made where it is read, some rows after another: little is ever held in float32.

    The arithmetic is that of `ports.wan.nn.quantized`, bit for bit.
    """

    def __init__(self, kernel: np.ndarray, dtype: np.dtype):
        """Look at a kernel ``[d_in, d_out]`` of any floating dtype and any strides; ``dtype`` is one of `DTYPES`.

        Raises:
            ValueError: it holds NaN or infinity.
        """
        self._rows, self.dtype = kernel.T, dtype
        largest = np.concatenate([np.abs(rows).max(axis=-1, keepdims=True) for rows in _in_strips(self._rows)])
        if not np.isfinite(largest).all():
            raise ValueError("it holds numbers that are not finite, which eight bits cannot")
        scale = largest * (np.float32(1) / np.float32(_LARGEST[dtype]))
        self.scale = np.where(scale > 0, scale, np.float32(1))

    def __getitem__(self, place: tuple[slice, ...]) -> np.ndarray:
        """Round a part of ``[d_out, d_in]``."""
        rows, inverse = self._rows[place], np.float32(1) / self.scale[place[0]]
        out, start = np.empty(rows.shape, self.dtype), 0
        for strip in _in_strips(rows):
            stop = start + len(strip)
            strip = strip * inverse[start:stop]
            if self.dtype == DTYPES["int8"]:
                out[start:stop] = np.rint(strip, out=strip)
            else:
                limit = _LARGEST[self.dtype]
                out[start:stop] = np.clip(strip, -limit, limit, out=strip)
            start = stop
        return out


def _in_strips(rows: np.ndarray) -> Iterator[np.ndarray]:
    """Yield some rows after another in float32."""
    count = max(1, _NUMBERS_AT_ONCE // max(1, rows.shape[-1]))
    for start in range(0, len(rows), count):
        yield np.asarray(rows[start : start + count], np.float32)
