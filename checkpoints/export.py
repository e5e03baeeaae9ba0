"""Write weights back as a safetensors file with the names, shapes and dtypes of PyTorch."""

import dataclasses
import json
import math
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from checkpoints.components import Component
from checkpoints.drafts import check_space
from checkpoints.manifest import read_manifest
from checkpoints.parameter_paths import flatten
from checkpoints.safetensors_files import safetensors_name
from checkpoints.tensors import copy_as
from checkpoints.weights import ConvertedWeights


@dataclasses.dataclass(frozen=True, kw_only=True)
class Export:
    """What was exported."""

    tensors: int
    size: int
    """Bytes of the file."""
    cast: str | None
    """What weights had been cast to when they were converted; ``None`` where the tensors are the original ones."""
    left_out: tuple[str, ...]
    """Tensors of the original that were not converted, since the network does not need them."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Entry:
    name: str
    dtype: np.dtype
    shape: tuple[int, ...]
    read: Callable[[], np.ndarray]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def export_checkpoint(
    path: str | Path,
    out: str | Path,
    component: Component,
    *,
    force: bool = False,
    progress: Callable[[int, int], Any] = lambda done, total: None,
) -> Export:
    """Write one network of a converted checkpoint as a safetensors file.

    Unless it was cast, every tensor is the original one, bit for bit. A kernel in eight bits becomes two, ``weight``
    and ``weight_scale``. Memory holds one tensor at a time.

    Args:
        path: the converted checkpoint.
        out: the file; it appears only when it is complete.
        component: the network.
        force: replace a file that is there.
        progress: is told how many bytes were just written, and how many there are.

    Raises:
        FileNotFoundError: there is no such checkpoint.
        FileExistsError: ``out`` is there, and ``force`` is not given.
        OSError: it does not fit on the disk, or cannot be written.
        ValueError: the checkpoint is damaged.
    """
    cast = read_manifest(path).dtype
    weights = ConvertedWeights(Path(path), component)

    def read(key, dtype):
        return weights.targets[key].transform.undo(weights.read(key, dtype))

    entries = []
    for key, target in weights.targets.items():
        dtype = weights.dtype(key) if cast else weights.record.tensors[key][0]
        entries.append(_Entry(name=key, dtype=dtype, shape=target.shape, read=_bind(read, key, dtype)))
    notes = {"cast": f"to {cast}; not the original"} if cast else {}
    size = _write(Path(out), entries, notes, force, progress)
    return Export(tensors=len(entries), size=size, cast=cast, left_out=weights.record.left_out)


def export_params(
    out: str | Path,
    component: Component,
    config: Any,
    params: Any,
    *,
    naming: str | None = None,
    force: bool = False,
    progress: Callable[[int, int], Any] = lambda done, total: None,
) -> Export:
    """Write parameters as a safetensors file that PyTorch code can load.

    Args:
        out: the file; it appears only when it is complete.
        component: the network.
        config: its configuration.
        params: its parameters, with the structure of ``component.abstract(config)``.
        naming: names to give the tensors, a key of ``component.tables``; the first by default.
        force: replace a file that is there.
        progress: is told how many bytes were just written, and how many there are.

    Raises:
        FileExistsError: ``out`` is there, and ``force`` is not given.
        OSError: it does not fit on the disk, or cannot be written.
    """
    leaves: Mapping[str, jax.Array] = flatten(params)
    targets = component.tensors(config, naming or next(iter(component.tables)))

    def read(key, dtype):
        target = targets[key]
        leaf = leaves[target.path]
        return target.transform.undo(np.asarray(leaf if target.layer is None else leaf[target.layer]))

    entries = []
    for key, target in targets.items():
        dtype = np.dtype(leaves[target.path].dtype)
        entries.append(_Entry(name=key, dtype=dtype, shape=target.shape, read=_bind(read, key, dtype)))
    size = _write(Path(out), entries, {}, force, progress)
    return Export(tensors=len(entries), size=size, cast=None, left_out=())


def _bind(read: Callable, key: str, dtype: np.dtype) -> Callable[[], np.ndarray]:
    return lambda: read(key, dtype)


def _write(
    out: Path, entries: Iterable[_Entry], notes: Mapping[str, str], force: bool, progress: Callable[[int, int], Any]
) -> int:
    """Write a safetensors file tensor by tensor; the library would need all of them at once."""
    if out.is_dir() or (out.exists() and not force):
        raise FileExistsError(f"{out} exists; choose another name{'' if out.is_dir() else ', or give --force'}")
    # Wide dtypes first, as the library does it: so every tensor lies at a multiple of its width.
    entries = sorted(entries, key=lambda entry: (-entry.dtype.itemsize, entry.name))
    # Frameworks look for this note.
    header: dict[str, Any] = {"__metadata__": {"format": "pt", **notes}}
    end = 0
    for entry in entries:
        start, end = end, end + entry.nbytes
        dtype = safetensors_name(entry.dtype)
        header[entry.name] = {"dtype": dtype, "shape": list(entry.shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    check_space(out, end + len(text) + 8)
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = out.with_name(f".{out.name}.part")
    try:
        with open(draft, "wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for entry in entries:
                values = entry.read()
                if values.shape != entry.shape:
                    raise ValueError(f"{entry.name} has shape {values.shape}, expected {entry.shape}")
                values = values if values.flags.c_contiguous else copy_as(values)
                file.write(values.reshape(-1).view(np.uint8).data)
                progress(entry.nbytes, end)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, out)
    finally:
        draft.unlink(missing_ok=True)
    return out.stat().st_size
