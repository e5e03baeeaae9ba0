"""Plan a conversion: which network is which, whether every tensor fits, and what will be written."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from checkpoints.components import ModelFormat
from checkpoints.layout import PIECE_BYTES, ArrayPlan
from checkpoints.locating import locate
from checkpoints.matching import Match, match
from checkpoints.tensors import common_dtype

MEMORY_BYTES = 8 * PIECE_BYTES
"""What converting takes beside the program itself, whatever the size of the checkpoint."""
_METADATA_BYTES = 4096


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Conversion:
    """A conversion that can be done: all tensors are there and fit."""

    path: Path
    """The source."""
    model: ModelFormat
    matches: Mapping[str, Match]
    """By component."""
    dtype: np.dtype | None
    """What to cast weights to; ``None`` to keep what the source has."""
    known_files: Mapping[str, str]
    """Published files of this and of other known models: SHA-256 to what it is."""

    @property
    def absent(self) -> tuple[str, ...]:
        """Components of the model that are not converted."""
        return tuple(component.name for component in self.model.components if component.name not in self.matches)

    @functools.cached_property
    def arrays(self) -> dict[str, dict[str, ArrayPlan]]:
        """What will be written, by component and parameter."""
        return {name: _plan_arrays(found, self.dtype) for name, found in self.matches.items()}

    @property
    def nbytes(self) -> int:
        """Bytes that will be written."""
        plans = [plan for arrays in self.arrays.values() for plan in arrays.values()]
        return sum(plan.nbytes + _METADATA_BYTES * (1 + len(plan.files) // 2) for plan in plans)


def plan_conversion(
    path: str | Path,
    model: ModelFormat,
    *,
    dtype: Any = None,
    only: Sequence[str] = (),
    known: Sequence[ModelFormat] = (),
) -> Conversion:
    """Find the networks of a model and check every tensor; reads nothing but headers and writes nothing.

    Args:
        path: a model folder, or the file or folder of one network.
        model: what it should be.
        dtype: what to cast weights to, such as ``"bfloat16"``; kept as they are by default.
        only: components to convert; all by default.
        known: other models, to name where the tensors or files turn out to be theirs.

    Raises:
        FileNotFoundError: nothing is there, or a component is missing.
        ValueError: a file is damaged, or tensors are missing, unexpected or do not fit; lists all of them.
    """
    matches, problems = {}, []
    for name, source in locate(path, model, only, known=known).items():
        component = next(component for component in model.components if component.name == name)
        try:
            matches[name] = match(source, component, known=known)
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ValueError("\n".join(problems))
    dtype = None if dtype is None else np.dtype(dtype)
    files = {digest: what for other in (*known, model) for digest, what in other.known_files.items()}
    return Conversion(path=Path(path), model=model, matches=matches, dtype=dtype, known_files=files)


def _plan_arrays(found: Match, dtype: np.dtype | None) -> dict[str, ArrayPlan]:
    """Plan the arrays of a network's parameters, by path."""
    tensors = found.source.tensors
    dtypes: dict[str, set[np.dtype]] = {}
    stacked = {}
    for key, target in found.targets.items():
        dtypes.setdefault(target.path, set()).add(tensors[key].dtype)
        stacked[target.path] = target.layer is not None
    return {
        path: ArrayPlan.create(found.leaves[path].shape, common_dtype(dtypes[path], dtype), stacked=stacked[path])
        for path in dtypes
    }
