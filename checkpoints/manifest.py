"""The manifest of a converted checkpoint: what it was made of, by what, and what it holds."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from checkpoints.layout import ArrayPlan, is_tree
from checkpoints.sources import read_json
from checkpoints.tensors import DTYPES

FILE_NAME = "manifest.json"
_FORMAT = "worldkv-jax checkpoint"
_VERSION = 1
_PACKAGES = ("worldkv-jax", "jax", "orbax-checkpoint", "tensorstore", "safetensors", "numpy", "ml-dtypes")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SourceFile:
    """A file that was converted."""

    name: str
    """Relative to what was given."""
    size: int
    sha256: str | None
    """``None`` where it was not asked for."""
    published: str | None
    """What the published file with this checksum is; ``None`` where none is known."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ComponentRecord:
    """One network of a converted checkpoint."""

    config: Mapping[str, Any]
    """The configuration, as `Component.to_json` gives it."""
    settings: Mapping[str, Any]
    """What ``config.json`` of the source said."""
    naming: str
    """Of the source's tensors."""
    parameters: int
    files: tuple[SourceFile, ...]
    arrays: Mapping[str, ArrayPlan]
    """Parameters by path."""
    tensors: Mapping[str, tuple[np.dtype, tuple[int, ...]]]
    """PyTorch tensors by name: dtype and shape in the source."""
    left_out: tuple[str, ...]
    """Tensors of the source that are not here, since the network does not need them."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a converted checkpoint says of itself."""

    model: str
    dtype: str | None
    """What weights were cast to; ``None`` where they are as in the source."""
    components: Mapping[str, ComponentRecord]
    absent: tuple[str, ...]
    """Components that the source did not have, or that were not asked for."""
    versions: Mapping[str, str]
    """Of the libraries that wrote it."""


def is_converted(path: str | Path) -> bool:
    """Tell whether a path is a converted checkpoint."""
    return (Path(path) / FILE_NAME).is_file()


def foreign_entries(folder: Path) -> list[str]:
    """Name what a folder holds that converting did not put there; a damaged manifest counts as made by it."""
    manifest = folder / FILE_NAME
    made = manifest.is_file() and _is_ours(manifest)
    return sorted(p.name for p in folder.iterdir() if not (made and (p.name == FILE_NAME or is_tree(p))))


def _is_ours(manifest: Path) -> bool:
    try:
        return read_json(manifest).get("format") == _FORMAT
    except ValueError:
        return True


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest of a checkpoint into its folder."""
    data: dict[str, Any] = {"format": _FORMAT, "version": _VERSION, **dataclasses.asdict(manifest)}
    for name, record in manifest.components.items():
        data["components"][name]["arrays"] = {path: plan.to_json() for path, plan in record.arrays.items()}
        data["components"][name]["tensors"] = {
            key: {"dtype": dtype.name, "shape": shape} for key, (dtype, shape) in record.tensors.items()
        }
    (folder / FILE_NAME).write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def read_manifest(folder: str | Path) -> Manifest:
    """Read the manifest of a converted checkpoint.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is damaged or of a later version.
    """
    path = Path(folder) / FILE_NAME
    if not path.is_file():
        raise FileNotFoundError(f"{folder} is no converted checkpoint: it has no {FILE_NAME}; see worldkv convert")
    data: dict[str, Any] = read_json(path)
    if data.pop("format", None) != _FORMAT or data.pop("version", None) != _VERSION:
        raise ValueError(f"{path} is not a manifest of this version; convert again")
    try:
        components = {}
        for name, record in data["components"].items():
            record["files"] = tuple(SourceFile(**file) for file in record["files"])
            record["arrays"] = {key: ArrayPlan.from_json(plan) for key, plan in record["arrays"].items()}
            record["tensors"] = {
                key: (DTYPES[tensor["dtype"]], tuple(tensor["shape"])) for key, tensor in record["tensors"].items()
            }
            record["left_out"] = tuple(record["left_out"])
            components[name] = ComponentRecord(**record)
        data |= {"components": components, "absent": tuple(data["absent"])}
        return Manifest(**data)
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is damaged ({error!r}); convert again") from None


def library_versions() -> dict[str, str]:
    """Return the versions of the libraries that matter for what is written."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def hash_file(path: Path, progress: Callable[[int], Any]) -> str:
    """Return the SHA-256 of a file; tells how many bytes it has read."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(256 << 10):
            digest.update(piece)
            progress(len(piece))
    return digest.hexdigest()
