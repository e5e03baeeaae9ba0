"""What a released checkpoint of one network holds: its tensors made into parameters, and back into a list of shapes."""

import hashlib
import math
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from checkpoints.components import Component
from checkpoints.key_tables import Target


def paths(params: Any) -> dict[str, Any]:
    """Return the leaves of nested dictionaries by path."""
    leaves = jax.tree.leaves_with_path(params)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def tensors_of(component: Component, config: Any, naming: str = "original") -> dict[str, Target]:
    """List the PyTorch tensors that fill a network of this configuration."""
    return component.tensors(config, naming)


def draw(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Draw numbers that a network of many layers does not blow up."""
    return (random.normal(size=shape) / max(1, math.prod(shape[1:])) ** 0.5).astype(np.float32)


def random_tensors(component: Component, config: Any, seed: int) -> dict[str, np.ndarray]:
    """Draw the PyTorch tensors of a network."""
    random = np.random.default_rng(seed)
    return {key: draw(random, target.shape) for key, target in tensors_of(component, config).items()}


def random_params(abstract: Any, seed: int = 0) -> Any:
    """Draw parameters on the host: compiling random numbers for each of hundreds takes longer than a test should."""
    random = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: draw(random, leaf.shape), abstract)


def convert(
    component: Component, tensors: Mapping[str, np.ndarray], settings: Mapping[str, Any], naming: str = "original"
) -> tuple[Any, dict]:
    """Make the configuration and the parameters from tensors in the first naming, or ``naming``.

    The tensors have to be exactly those that the key table lists. ``settings`` is what ``config.json`` says, or the
    configuration itself.
    """
    shapes = {key: tensor.shape for key, tensor in tensors.items()}
    config = component.configure(shapes, settings) if isinstance(settings, Mapping) else settings
    targets = tensors_of(component, config, naming)
    assert {key: target.shape for key, target in targets.items()} == shapes
    abstract = component.abstract(config)
    filled = {path: np.empty(leaf.shape, np.float32) for path, leaf in paths(abstract).items()}
    for key, target in targets.items():
        filled[target.path][... if target.layer is None else target.layer] = target.transform.apply(tensors[key])
    return config, jax.tree.unflatten(jax.tree.structure(abstract), jax.device_put(list(filled.values())))


def fingerprint(targets: Mapping[str, Target]) -> tuple[int, int, str]:
    """Return the number of tensors and of their elements, and a hash of their keys and shapes."""
    lines = sorted(f"{key} {list(target.shape)}" for key, target in targets.items())
    elements = sum(math.prod(target.shape) for target in targets.values())
    return len(lines), elements, hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
