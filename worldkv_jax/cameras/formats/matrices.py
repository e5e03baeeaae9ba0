"""Matrices as files have them: flat or not, with their last row or without it."""

import numpy as np


def completed(values: np.ndarray) -> np.ndarray:
    """Bring ``[n, 3, 4]``, ``[n, 16]`` or ``[n, 12]`` to ``[n, 4, 4]``; any other shape stays what it is."""
    if values.ndim == 2 and values.shape[1] in (12, 16):
        values = values.reshape(len(values), -1, 4)
    if values.ndim == 3 and values.shape[1:] == (3, 4):
        last = np.tile([[[0.0, 0.0, 0.0, 1.0]]], (len(values), 1, 1))
        values = np.concatenate([values, last], axis=1)
    return values


def as_matrices(values: np.ndarray, what: str) -> np.ndarray:
    """Bring numbers to ``[n, 4, 4]``, see `completed`.

    Raises:
        ValueError: they are no such matrices; the text names ``what`` they are.
    """
    values = completed(values)
    if values.ndim != 3 or values.shape[1:] != (4, 4):
        raise ValueError(f"{what} has shape {values.shape[1:]}, expected a matrix of 4 x 4 or 3 x 4")
    return values
