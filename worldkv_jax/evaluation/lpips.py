"""LPIPS with AlexNet: distance of deep features, weighted as people judge (Zhang et al. 2018).

The weights are read from a local file. With PyTorch and the package `lpips` installed, this makes it::

    from lpips import LPIPS
    from safetensors.torch import save_file

    weights = LPIPS(net="alex").state_dict()
    save_file({name: w for name, w in weights.items() if not name.startswith("lins.")}, "lpips_alex.safetensors")
"""

import functools
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from worldkv_jax.evaluation.fidelity import score_in_blocks
from worldkv_jax.evaluation.weight_files import read_weights
from worldkv_jax.media.frames import check_frames

SMALLEST_SIDE = 31  # pixels: below that nothing is left after the second pooling

_SHIFT, _SCALE = (
    np.array([[[[-0.030, -0.088, -0.188]]]], np.float32),
    np.array([[[[0.458, 0.448, 0.450]]]], np.float32),
)  # for frames in [-1, 1]
_BLOCK = 16  # frames at once

# Each stage's convolution: name, output channels, input channels, window, stride, padding, and pooling before it.
_STAGES = (
    ("net.slice1.0", 64, 3, 11, 4, 2, False),
    ("net.slice2.3", 192, 64, 5, 1, 2, True),
    ("net.slice3.6", 384, 192, 3, 1, 1, True),
    ("net.slice4.8", 256, 384, 3, 1, 1, False),
    ("net.slice5.10", 256, 256, 3, 1, 1, False),
)


def load_lpips(path: Path) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Read the weights and return the distance of frames ``[n, h, w, 3]`` and as many others: ``[n]``.

    Raises:
        ValueError: the file does not hold LPIPS's weights.
    """
    shapes = {f"lin{i}.model.1.weight": (1, stage[1], 1, 1) for i, stage in enumerate(_STAGES)}
    for name, out, channels, window, *_ in _STAGES:
        shapes |= {f"{name}.weight": (out, channels, window, window), f"{name}.bias": (out,)}
    weights = read_weights(path, shapes)
    distance = jax.jit(lpips_distance)

    def score(frames: np.ndarray, others: np.ndarray) -> np.ndarray:
        pair = check_frames(frames), check_frames(others)
        return score_in_blocks(functools.partial(distance, weights), *pair, _BLOCK)

    return score


def lpips_distance(weights: dict, frames: jax.Array, others: jax.Array) -> jax.Array:
    """Compute LPIPS of frames ``[n, h, w, 3]`` in [0, 1] and as many others: ``[n]``, 0 for equal ones."""
    distance = jnp.zeros(frames.shape[0])
    pairs = zip(_features(weights, frames), _features(weights, others))
    for i, (a, b) in enumerate(pairs):
        weighted = jnp.square(_unit(a) - _unit(b)) * jnp.moveaxis(weights[f"lin{i}.model.1.weight"], 1, -1)
        distance += weighted.sum(axis=-1).mean(axis=(1, 2))
    return distance


def _features(weights: dict, frames: jax.Array) -> list[jax.Array]:
    x, found = (2 * frames - 1 - _SHIFT) / _SCALE, []
    for name, _, _, _, stride, padding, pooled in _STAGES:
        if pooled:
            x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 3, 3, 1), (1, 2, 2, 1), "VALID")
        x = jax.lax.conv_general_dilated(
            x,
            weights[f"{name}.weight"],
            (stride, stride),
            [(padding, padding)] * 2,
            dimension_numbers=("NHWC", "OIHW", "NHWC"),
        )
        x = jax.nn.relu(x + weights[f"{name}.bias"][None, None, None])
        found.append(x)
    return found


def _unit(x: jax.Array) -> jax.Array:
    return x / (jnp.sqrt(jnp.sum(jnp.square(x), axis=-1, keepdims=True)) + 1e-10)
