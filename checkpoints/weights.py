"""Weights of a network by parameter, wherever they are: in PyTorch files or in a converted checkpoint."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np

from checkpoints.components import Component, ModelFormat
from checkpoints.key_tables import Target
from checkpoints.layout import StoredArray
from checkpoints.listing import fold_by_text
from checkpoints.locating import locate
from checkpoints.manifest import ComponentRecord, is_converted, read_manifest
from checkpoints.matching import Match, match
from checkpoints.parameter_paths import flatten
from checkpoints.tensors import copy_as, give_back_pages


class Weights(Protocol):
    """Weights that are read one layer at a time."""

    config: Any
    abstract: Any
    """The parameters, as nested dictionaries of ``jax.ShapeDtypeStruct``."""
    targets: Mapping[str, Target]
    """PyTorch tensor by key: which parameter it is, and which layer of it."""

    def dtype(self, key: str) -> np.dtype:
        """Return the dtype that a tensor has here."""
        ...

    def read(self, key: str, dtype: np.dtype, *, out: np.ndarray | None = None) -> np.ndarray:
        """Read what a tensor is as a parameter, or as one layer of it; the array belongs to the caller.

        ``out`` is where to put it, of this dtype; a new array by default.

        Raises:
            ValueError: the data is damaged.
        """
        ...


def open_weights(path: str | Path, component: Component) -> Weights:
    """Open the weights of a network.

    Args:
        path: a converted checkpoint, a model folder, or the file or folder of the one network.
        component: the network.

    Raises:
        FileNotFoundError: nothing is there, or not this network.
        ValueError: files are damaged or hold something else; lists every tensor that does not fit.
    """
    if is_converted(path):
        return ConvertedWeights(Path(path), component)
    needed = dataclasses.replace(component, optional=False)
    model = ModelFormat(name=component.name, components=(needed,))
    return TorchWeights(match(locate(path, model)[component.name], component))


class TorchWeights:
    """Weights in PyTorch files."""

    def __init__(self, found: Match):
        self.config, self.abstract, self.targets = found.config, found.abstract, found.targets
        self._tensors = found.source.tensors

    def dtype(self, key: str) -> np.dtype:
        """Return the dtype of a tensor."""
        return self._tensors[key].dtype

    def read(self, key: str, dtype: np.dtype, *, out: np.ndarray | None = None) -> np.ndarray:
        """Read a tensor as a parameter or as one layer of it."""
        mapped = self._tensors[key].open()
        values = copy_as(self.targets[key].transform.apply(mapped), dtype, out=out)
        give_back_pages(mapped)
        return values


class ConvertedWeights:
    """Weights in a converted checkpoint."""

    def __init__(self, path: Path, component: Component):
        manifest = read_manifest(path)
        if component.name not in manifest.components:
            raise FileNotFoundError(
                f"{path} has no {component.name}, only {', '.join(manifest.components)}; convert it too"
            )
        self.record = manifest.components[component.name]
        self._folder = path / component.name
        self._open: dict[str, StoredArray] = {}
        self.config = _configure(component, self.record)
        self.abstract = component.abstract(self.config)
        leaves = flatten(self.abstract)
        _check(path, leaves, self.record)
        self.targets: Mapping[str, Target] = component.tensors(self.config, self.record.naming)

    def dtype(self, key: str) -> np.dtype:
        """Return the dtype of the array that holds a tensor."""
        return self.record.arrays[self.targets[key].path].dtype

    def read(self, key: str, dtype: np.dtype, *, out: np.ndarray | None = None) -> np.ndarray:
        """Read a tensor as a parameter or as one layer of it."""
        target = self.targets[key]
        if target.path not in self._open:
            self._open[target.path] = StoredArray(self._folder, target.path, self.record.arrays[target.path])
        return self._open[target.path].read(target.layer, dtype, out=out)


def _configure(component: Component, record: ComponentRecord) -> Any:
    if component.from_json is not None:
        return component.from_json(dict(record.config))
    return component.configure({key: shape for key, (_, shape) in record.tensors.items()}, record.settings)


def _check(path: Path, leaves: Mapping[str, jax.ShapeDtypeStruct], record: ComponentRecord) -> None:
    problems = {name: "is missing" for name in leaves.keys() - record.arrays.keys()}
    problems |= {name: "is unexpected" for name in record.arrays.keys() - leaves.keys()}
    for name in leaves.keys() & record.arrays.keys():
        if leaves[name].shape != record.arrays[name].shape:
            problems[name] = f"has shape {record.arrays[name].shape}, expected {leaves[name].shape}"
    if problems:
        lines = fold_by_text(dict(sorted(problems.items())))
        raise ValueError(
            "\n  ".join([f"{path} was converted for another version of the model; convert again:", *lines])
        )
