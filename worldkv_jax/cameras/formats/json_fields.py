"""Fields of JSON objects, checked: numbers, lists and matrices."""

import sys
from typing import Any

import numpy as np


def optional(data: Any, key: str, default: Any) -> Any:
    """Return a field, or what stands for it where it is missing."""
    return data.get(key, default) if isinstance(data, dict) else default


def a_list(data: Any, key: str) -> list[Any]:
    """Return a field that is a list of at least one item."""
    value = optional(data, key, None)
    if not isinstance(value, list) or not value:
        raise ValueError(f"{key} is {_short(value)}, expected a list of at least one")
    return value


def number(data: Any, key: str) -> float:
    """Return a field that is a finite number."""
    value = optional(data, key, None)
    if not is_number(value):
        raise ValueError(f"{key} is {_short(value)}, expected a number")
    return float(value)


def is_number(value: Any) -> bool:
    """Tell whether a value is a finite number; JSON's whole ones may be larger than any float."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def array(value: Any, what: str) -> np.ndarray:
    """Return nested lists of numbers as an array, float64."""
    try:
        result = np.array(value, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{what} is {_short(value)}, expected numbers") from None
    return result


def matrix(data: Any, key: str) -> np.ndarray:
    """Return a field that is a 4 x 4 matrix, or a 3 x 4 one without its last row."""
    return as_matrices(array(optional(data, key, None), key)[None], key)[0]


def as_matrices(values: np.ndarray, what: str) -> np.ndarray:
    """Bring ``[n, 4, 4]``, ``[n, 3, 4]``, ``[n, 16]`` or ``[n, 12]`` to ``[n, 4, 4]``."""
    if values.ndim == 2 and values.shape[1] in (12, 16):
        values = values.reshape(len(values), -1, 4)
    if values.ndim == 3 and values.shape[1:] == (3, 4):
        last = np.tile([[[0.0, 0.0, 0.0, 1.0]]], (len(values), 1, 1))
        values = np.concatenate([values, last], axis=1)
    if values.ndim != 3 or values.shape[1:] != (4, 4):
        raise ValueError(f"{what} has shape {values.shape[1:]}, expected a matrix of 4 x 4 or 3 x 4")
    return values


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 60 else text[:60] + "..."
