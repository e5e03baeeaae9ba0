"""Plan a conversion: which network is which, whether every tensor fits, and what will be written."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from checkpoints.components import ModelFormat
from checkpoints.eight_bits import DTYPES, parts
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
    eight_bits: str | None
    """``"int8"`` or ``"fp8"`` for kernels of those networks that can be so; ``None`` to round none."""
    known_files: Mapping[str, str]
    """Published files of this and of other known models: SHA-256 to what it is."""

    @property
    def cast(self) -> str | None:
        """What weights are cast or rounded to; ``None`` where they are as in the source."""
        return self.eight_bits or (self.dtype and self.dtype.name)

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
        dtype: what to cast weights to, such as ``"bfloat16"``; kept as they are by default. ``"int8"`` and ``"fp8"``
            round the kernels of those networks that can be so, and keep all else.
        only: components to convert; all by default.
        known: other models, to name where the tensors or files turn out to be theirs.

    Raises:
        FileNotFoundError: nothing is there, or a component is missing.
        ValueError: a file is damaged, or tensors are missing, unexpected or do not fit; lists all of them. Or
            nothing of what is converted can be in eight bits.
    """
    eight_bits = dtype if isinstance(dtype, str) and dtype in DTYPES else None
    matches, problems = {}, []
    for name, source in locate(path, model, only, known=known).items():
        component = next(component for component in model.components if component.name == name)
        try:
            matches[name] = match(source, component, known=known)
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ValueError("\n".join(problems))
    if eight_bits is not None:
        matches = _in_eight_bits(model, matches, eight_bits)
    dtype = None if dtype is None or eight_bits else np.dtype(dtype)
    files = {digest: what for other in (*known, model) for digest, what in other.known_files.items()}
    return Conversion(
        path=Path(path), model=model, matches=matches, dtype=dtype, eight_bits=eight_bits, known_files=files
    )


def _in_eight_bits(model: ModelFormat, matches: Mapping[str, Match], kind: str) -> dict[str, Match]:
    """Describe networks as they are with kernels in eight bits, where they can be so; one of them has to."""
    able = {one.name: one.in_eight_bits for one in model.components if one.in_eight_bits is not None}
    if not matches.keys() & able.keys():
        only = f"only {', '.join(able)} of {model.name} can" if able else f"no network of {model.name} can"
        raise ValueError(f"{', '.join(matches)} cannot be in {kind}: {only}; cast to bfloat16 (bf16) instead")
    changed = dict(matches)
    for name in matches.keys() & able.keys():
        config = able[name](matches[name].config, kind)
        abstract = matches[name].component.abstract(config)
        changed[name] = dataclasses.replace(matches[name], config=config, abstract=abstract)
    return changed


def _plan_arrays(found: Match, dtype: np.dtype | None) -> dict[str, ArrayPlan]:
    """Plan the arrays of a network's parameters, by path."""
    tensors = found.source.tensors
    dtypes: dict[str, set[np.dtype]] = {}
    stacked = {}
    for key, target in found.targets.items():
        dtypes.setdefault(target.path, set()).add(tensors[key].dtype)
        stacked[target.path] = target.layer is not None
    plans = {}
    for path in dtypes:
        if path in found.leaves:
            whole = common_dtype(dtypes[path], dtype)
            plans[path] = ArrayPlan.create(found.leaves[path].shape, whole, stacked=stacked[path])
            continue
        for part in parts(path):
            leaf = found.leaves[part]
            plans[part] = ArrayPlan.create(leaf.shape, leaf.dtype, stacked=stacked[path])
    return plans
