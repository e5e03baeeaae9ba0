"""Load weights onto devices, layer by layer, from PyTorch files or converted checkpoints."""

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec, SingleDeviceSharding

from checkpoints.components import Component
from checkpoints.eight_bits import is_part
from checkpoints.parameter_paths import flatten, unflatten
from checkpoints.tensors import aligned_empty, common_dtype
from checkpoints.weights import Weights, open_weights

_READERS = 8


def load_params(
    path: str | Path,
    component: Component,
    *,
    dtype: Any = None,
    sharding: Any = None,
    progress: Callable[[int, int], Any] = lambda done, total: None,
) -> tuple[Any, dict]:
    """Load the weights of a network straight to where they are computed with.

    Host memory holds one layer's tensor at a time: stacked layers are written into their array on the device, in
    place. On a CPU they are read into what then is the parameter, without another copy.

    Args:
        path: a converted checkpoint, a model folder, or the file or folder of the one network.
        component: the network.
        dtype: floating dtype to cast to, such as ``jnp.bfloat16``; by default that of the file, or float32 where
            the layers of a stack differ. Kernels in eight bits stay as they are.
        sharding: a sharding for all parameters, a tree of them that is a prefix of the parameters, or a function
            that makes either from the parameters as ``jax.ShapeDtypeStruct``; the default device by default.
        progress: is told how many weights were just loaded, and how many there are; by several threads on a CPU.

    Returns:
        The configuration, and the parameters with the structure of ``component.abstract(config)``.

    Raises:
        FileNotFoundError: nothing is there, or not this network.
        ValueError: files are damaged or hold something else; lists every tensor that does not fit.
    """
    weights = open_weights(path, component)
    leaves = flatten(weights.abstract)
    shardings = _spread(sharding, weights.abstract)
    dtypes = _choose_dtypes(weights, None if dtype is None else np.dtype(dtype))
    total = sum(leaf.size for leaf in leaves.values())
    keys = _by_parameter(weights)

    def read(name: str) -> np.ndarray:
        """Put a parameter together in host memory."""
        values = aligned_empty(leaves[name].shape, dtypes[name])
        for key in keys[name]:
            layer = weights.targets[key].layer
            weights.read(key, dtypes[name], out=values[... if layer is None else (layer, ...)])
            progress(values.size // len(keys[name]), total)
        return values

    arrays = {}
    if all(map(_is_host, shardings.values())):
        # What a CPU reads is the parameter: several at once take no more memory. The largest come first, whose pages of
        # the file lie beside them while there is little else. They are placed by this thread, whose default device it
        # may be.
        names = sorted(keys, key=lambda name: -leaves[name].size)
        with ThreadPoolExecutor(min(_READERS, os.cpu_count() or 1)) as readers:
            for name, values in zip(names, readers.map(read, names), strict=True):
                arrays[name] = _put(values, shardings[name])
        return weights.config, unflatten(weights.abstract, arrays)
    for name in keys:
        if len(keys[name]) == 1 or not _is_written_in_place(shardings[name]):
            arrays[name] = _put(read(name), shardings[name])
            continue
        arrays[name] = jnp.empty(leaves[name].shape, dtypes[name], device=shardings[name])
        for index, key in enumerate(keys[name]):
            layer = _put(weights.read(key, dtypes[name]), _of_layer(shardings[name]))
            # Waits: else copies of many layers could queue up in host memory.
            arrays[name] = jax.block_until_ready(_set_layer(arrays[name], layer, index))
            progress(layer.size, total)
    return weights.config, unflatten(weights.abstract, arrays)


def _by_parameter(weights: Weights) -> dict[str, list[str]]:
    """Return the keys of each parameter, of its layers from the first on."""
    keys: dict[str, list[str]] = {}
    for key, target in sorted(weights.targets.items(), key=lambda item: (item[1].path, item[1].layer or 0)):
        keys.setdefault(target.path, []).append(key)
    return keys


def _choose_dtypes(weights: Weights, wanted: np.dtype | None) -> dict[str, np.dtype]:
    found: dict[str, set[np.dtype]] = {}
    for key, target in weights.targets.items():
        found.setdefault(target.path, set()).add(weights.dtype(key))
    return {path: common_dtype(dtypes, None if is_part(path) else wanted) for path, dtypes in found.items()}


def _spread(sharding: Any, abstract: Any) -> dict[str, Any]:
    """Return the sharding of each parameter by path."""
    if callable(sharding):
        sharding = sharding(abstract)
    tree = jax.tree.broadcast(sharding, abstract, is_leaf=lambda node: node is None)
    leaves = jax.tree.leaves(tree, is_leaf=lambda node: node is None)
    return dict(zip(flatten(abstract), leaves, strict=True))


def _is_written_in_place(sharding: Any) -> bool:
    """Tell whether layers of a stack are best written into an array of this sharding on the device.

    A CPU's memory is the host's; and XLA on a CPU would copy all of a bfloat16 array for each layer.
    """
    if _is_host(sharding):
        return False
    if sharding is None:
        return True
    device = next(iter(sharding.device_set))
    in_memory = sharding.memory_kind in (None, device.default_memory().kind)
    return in_memory and isinstance(sharding, NamedSharding | SingleDeviceSharding)


def _is_host(sharding: Any) -> bool:
    """Tell whether an array of this sharding lies in a CPU's memory."""
    if sharding is None:
        return jax.default_backend() == "cpu"
    return next(iter(sharding.device_set)).platform == "cpu"


def _of_layer(sharding: Any) -> Any:
    """Return the sharding of one layer of a stacked array."""
    if not isinstance(sharding, NamedSharding):
        return sharding
    return NamedSharding(sharding.mesh, PartitionSpec(*sharding.spec[1:]))


def _put(values: np.ndarray, sharding: Any) -> jax.Array:
    if sharding is None:
        return jax.device_put(values)
    return jax.make_array_from_callback(values.shape, sharding, lambda index: values[index])


@functools.partial(jax.jit, donate_argnums=0)
def _set_layer(stack: jax.Array, layer: jax.Array, index: int) -> jax.Array:
    return jax.lax.dynamic_update_index_in_dim(stack, layer, index, 0)
