"""Fields of JSON objects, checked: numbers, lists and matrices."""

import sys
from typing import Any

import numpy as np

from worldkv_jax.cameras.formats.matrices import as_matrices


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


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 60 else text[:60] + "..."
