"""Which network a set of tensors is, and everything that is wrong with it."""

import dataclasses
import functools
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import numpy as np

from checkpoints.components import Component, ModelFormat
from checkpoints.foreign import name_tensors, unwrapped
from checkpoints.key_tables import Row, Target, expected_tensors, fill
from checkpoints.listing import fold, fold_by_text
from checkpoints.parameter_paths import flatten
from checkpoints.sources import Source
from checkpoints.tensors import LazyTensor, is_floating

_MAX_LAYERS = 10_000


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Match:
    """The tensors of a source as the parameters of a network."""

    component: Component
    source: Source
    naming: str
    """Of the tensors: a key of ``component.tables``."""
    config: Any
    abstract: Any
    """The parameters, as nested dictionaries of ``jax.ShapeDtypeStruct``."""
    targets: Mapping[str, Target]
    """Where each tensor goes, by its PyTorch key."""

    @property
    def names(self) -> str:
        """What is said of the names: their naming, and what was taken off them."""
        return f"{self.naming}, after {self.source.taken}" if self.source.taken else self.naming

    @property
    def left_out(self) -> tuple[str, ...]:
        """Tensors of the source that the network does not need."""
        return tuple(sorted(self.source.tensors.keys() - self.targets.keys()))

    @functools.cached_property
    def leaves(self) -> dict[str, jax.ShapeDtypeStruct]:
        """The parameters by path."""
        return flatten(self.abstract)

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(math.prod(target.shape) for target in self.targets.values())


def match(source: Source, component: Component, *, known: Iterable[ModelFormat] = ()) -> Match:
    """Find out which tensor is which parameter.

    Args:
        source: the tensors.
        component: the network they should be.
        known: models to name if the tensors are one of theirs instead.

    Raises:
        ValueError: tensors are missing, unexpected, of a wrong shape or dtype; the text lists all of them.
    """
    result, problems = _try(source, component)
    if result is None or problems:
        foreign = name_source(source)
        if foreign:
            raise ValueError(f"{source.path} is not a whole {component.name}: {foreign}")
        lines = [f"{source.path} is not a whole {component.name}{hint(source, known, but=component)}:", *problems]
        raise ValueError("\n  ".join(lines))
    return result


def recognise(source: Source, models: Iterable[ModelFormat]) -> tuple[ModelFormat, Component] | None:
    """Return the network that a source is, or most resembles; ``None`` where less than half of it is known."""
    models = sorted(models, key=lambda model: len(model.components))  # a shared network is a model of its own
    shares: dict[int, float] = {}
    for model in models:
        for component in model.components:
            if id(component) not in shares:
                shares[id(component)] = _share(_unwrap(source, component), component)
    ranked = [(shares[id(component)], model, component) for model in models for component in model.components]
    ranked.sort(key=lambda entry: -entry[0])
    likely = [(model, component) for share, model, component in ranked if share > 0.5]
    whole = (entry for entry in likely if not _try(source, entry[1])[1])
    return next(whole, likely[0] if likely else None)


def name_source(source: Source) -> str | None:
    """Say what the tensors of a source are where no model can be read from them: adapters, quantised weights."""
    metadata = {key: value for file in source.files for key, value in file.metadata.items()}
    return name_tensors(source.tensors, metadata)


def hint(source: Source, models: Iterable[ModelFormat], *, but: Component | None = None) -> str:
    """Return what to add to an error: which network the tensors are instead; empty where nobody knows."""
    found = recognise(source, models)
    if found is None or found[1] is but:
        return ""
    model, other = found
    return f"; it looks like the {other.name} of {model.name}"


def _try(source: Source, component: Component) -> tuple[Match | None, list[str]]:
    """Return the match as far as there is one, and all problems."""
    source = _unwrap(source, component)
    tensors = source.tensors
    naming = max(component.tables, key=lambda naming: _count(component.tables[naming], tensors))
    rows = component.tables[naming]
    first = next(iter(component.tables))
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    shapes = shapes if naming == first else _rename(shapes, rows, component.tables[first])
    try:
        config = component.configure(shapes, source.config)
        abstract = component.abstract(config)
        leaves = flatten(abstract)
        _check_layers(rows, leaves)
        targets = expected_tensors(rows, {path: leaf.shape for path, leaf in leaves.items()})
    except KeyError as error:
        return None, [f"missing: {error.args[0]}, which decides a size", *_strangers(component, rows, tensors)]
    except (LookupError, ValueError, TypeError, ArithmeticError) as error:
        # Configurations are made of what a damaged or foreign file says.
        return None, [f"its sizes make no sense: {error}", *_strangers(component, rows, tensors)]
    found = Match(component=component, source=source, naming=naming, config=config, abstract=abstract, targets=targets)
    return found, _problems(found)


def _unwrap(source: Source, component: Component) -> Source:
    """Take off the names what wrappers such as DistributedDataParallel put before them, where the rest is known."""
    if _share(source, component) > 0.5:
        return source
    for taken, shorten in unwrapped(source.tensors):
        names = {shorten(name) for name in source.tensors}
        if len(names) == len(source.tensors) and _share_of(names, component) > 0.5:
            return source.renamed(shorten, taken)
    return source


def _problems(found: Match) -> list[str]:
    tensors, targets = found.source.tensors, found.targets
    lines = [f"missing: {name}" for name in fold(key for key in targets if key not in tensors)]
    extra = [name for name in found.left_out if not _is_unused(found.component, name)]
    lines += [f"unexpected: {name}" for name in fold(extra)]
    wrong = {}
    for key, target in targets.items():
        problem = key in tensors and _mismatch(tensors[key], target, found.leaves[target.path].dtype)
        if problem:
            wrong[key] = problem
    return lines + fold_by_text(wrong)


def _mismatch(tensor: LazyTensor, target: Target, dtype: Any) -> str:
    problems = []
    if tensor.shape != target.shape:
        problems.append(f"has shape {tensor.shape}, expected {target.shape}")
    if np.issubdtype(dtype, np.integer):
        if tensor.dtype.kind != np.dtype(dtype).kind:
            problems.append(f"has dtype {tensor.dtype.name}, expected {np.dtype(dtype).name}")
    elif not is_floating(tensor.dtype):
        problems.append(f"has dtype {tensor.dtype.name}, expected floating, at most 32 bits wide")
    return "; ".join(problems)


def _check_layers(rows: Iterable[Row], leaves: Mapping[str, Any]) -> None:
    """Refuse depths that only a damaged configuration can have, before they are listed one by one."""
    for path, leaf in leaves.items():
        for row in rows:
            if row.stacked and row.path_pattern.fullmatch(path) and leaf.shape[0] > _MAX_LAYERS:
                raise ValueError(f"{leaf.shape[0]} layers, expected at most {_MAX_LAYERS}")


def _rename(
    shapes: Mapping[str, tuple[int, ...]], rows: Iterable[Row], others: Iterable[Row]
) -> dict[str, tuple[int, ...]]:
    """Turn keys and shapes of one naming into those of another; what has no counterpart is left out."""
    renamed, others = {}, tuple(others)
    for key, shape in shapes.items():
        for row in rows:
            found = row.pattern.fullmatch(key)
            if found is None:
                continue
            path = fill(row.path, found.groupdict())
            for other in others:
                place = other.path_pattern.fullmatch(path)
                if place is not None:
                    name = fill(other.key, {**found.groupdict(), **place.groupdict()})
                    renamed[name] = _other_shape(shape, row, other)
    return renamed


def _other_shape(shape: tuple[int, ...], row: Row, other: Row) -> tuple[int, ...]:
    try:
        return other.transform.shape(row.transform.shape(shape), undo=True)
    except (ValueError, TypeError, IndexError):  # of a rank that the transform does not know; it is reported later
        return shape


def _count(rows: Iterable[Row], names: Iterable[str]) -> int:
    return sum(_knows(rows, name) for name in names)


def _knows(rows: Iterable[Row], name: str) -> bool:
    return any(row.pattern.fullmatch(name) for row in rows)


def _share(source: Source, component: Component) -> float:
    """Return how much of a source has names that the component knows."""
    return _share_of(source.tensors, component)


def _share_of(names: Iterable[str], component: Component) -> float:
    names = [name for name in names if not _is_unused(component, name)]
    return max(_count(rows, names) for rows in component.tables.values()) / max(1, len(names))


def _strangers(component: Component, rows: Iterable[Row], tensors: Mapping[str, LazyTensor]) -> list[str]:
    strangers = [name for name in tensors if not _knows(rows, name) and not _is_unused(component, name)]
    return [f"unexpected: {name}" for name in fold(strangers)]


def _is_unused(component: Component, name: str) -> bool:
    return any(re.fullmatch(pattern, name) for pattern in component.unused)
