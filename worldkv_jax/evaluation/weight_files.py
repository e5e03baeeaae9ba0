"""Weights of a metric's network: one safetensors file with the names and shapes of the PyTorch original."""

from collections.abc import Mapping
from pathlib import Path

import jax.numpy as jnp
from safetensors import SafetensorError
from safetensors.numpy import load_file

_SHOWN = 5  # problems that an error lists


def read_weights(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict:
    """Read tensors as float32; others in the file are ignored.

    Args:
        path: the file.
        shapes: shape of each tensor that is needed.

    Raises:
        ValueError: no safetensors file, or tensors that are missing or have another shape.
    """
    try:
        found = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is no safetensors file with weights: {error}") from error
    problems = [f"missing {name}" for name in shapes if name not in found]
    problems += [
        f"{name} has shape {found[name].shape}, expected {shape}"
        for name, shape in shapes.items()
        if name in found and found[name].shape != tuple(shape)
    ]
    if problems:
        more = [f"and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
        raise ValueError("\n  ".join([f"{path} does not hold the expected weights:", *problems[:_SHOWN], *more]))
    return {name: jnp.asarray(found[name], jnp.float32) for name in shapes}
