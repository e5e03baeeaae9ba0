"""Parameters drawn at random on the host, which compiles nothing."""

from typing import Any

import jax
import numpy as np


def draw(abstract: Any, seed: int) -> Any:
    """Draw parameters: kernels keep the variance of their input, gains are about one, biases about zero."""
    generator = np.random.default_rng(seed)

    def one(path, leaf):
        values = generator.standard_normal(leaf.shape)
        if path[-1].key == "kernel":
            values *= np.prod(leaf.shape[:-1]) ** -0.5
        else:
            values = 0.1 * values + (path[-1].key != "bias")
        return jax.device_put(values.astype(leaf.dtype))

    return jax.tree.map_with_path(one, abstract)
