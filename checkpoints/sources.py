"""Where tensors come from: a file, a folder of shards, a component of a model folder. All look the same."""

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from checkpoints.listing import fold_by_text
from checkpoints.safetensors_files import read_safetensors
from checkpoints.tensors import LazyTensor, TensorFile
from checkpoints.torch_files import read_torch

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt")
_INDEX = ".index.json"
_MAX_JSON = 64 << 20


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """The tensors of one network."""

    path: Path
    """The file or folder that was asked for."""
    files: tuple[TensorFile, ...]
    config: Mapping[str, Any]
    """What ``config.json`` beside the tensors says; empty where there is none."""

    @functools.cached_property
    def tensors(self) -> dict[str, LazyTensor]:
        """All tensors by name."""
        return {name: tensor for file in self.files for name, tensor in file.tensors.items()}

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    def verify(self, progress: Callable[[int], Any] = lambda _: None) -> None:
        """Compare the data with the checksums that the files have; tells how many bytes it has read.

        Raises:
            ValueError: data is damaged.
        """
        for file in self.files:
            file.verify(progress)


def open_source(path: str | Path) -> Source:
    """Open the tensors of one network, reading no more than headers.

    Args:
        path: a safetensors file, a PyTorch file, the index of shards, or a folder that holds one of them (with
            ``config.json``, as diffusers and transformers write it).

    Raises:
        FileNotFoundError: there is nothing, or no tensors are in the folder.
        ValueError: a file is damaged or not what it should be, or the shards do not fit together; the text says how.
    """
    path = Path(path)
    if path.is_dir():
        chosen = _choose(path)
        return dataclasses.replace(_open_file(chosen, inside=path), path=path, config=_read_config(path))
    alone = path.exists() and [file for file in path.parent.iterdir() if file.suffix in SUFFIXES] == [path]
    # In a folder of several networks nobody knows whose configuration it is.
    config = _read_config(path.parent) if alone or path.name.endswith(_INDEX) else {}
    return dataclasses.replace(_open_file(path, inside=None), config=config)


def check_inside(path: Path, folder: Path) -> Path:
    """Return ``path`` if, links followed, it lies in ``folder``.

    The download cache of the Hugging Face hub is known: it links from ``snapshots/REVISION`` to ``blobs``.

    Raises:
        ValueError: it lies elsewhere.
    """
    real, root = path.resolve(), folder.resolve()
    caches = [parent.parent / "blobs" for parent in (root, *root.parents) if parent.name == "snapshots"]
    if not any(real.is_relative_to(place) for place in (root, *caches)):
        raise ValueError(f"{path} leads to {real}, outside of {folder}; give that path itself if it is the right one")
    return path


def read_json(path: Path) -> dict:
    """Read a JSON object from a file.

    Raises:
        ValueError: it is none, or is absurdly large.
    """
    if path.stat().st_size > _MAX_JSON:
        raise ValueError(f"{path} has {path.stat().st_size:,} bytes, expected a small JSON file")
    try:
        data = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    if not isinstance(data, dict):
        raise ValueError(f"{path} holds a JSON {type(data).__name__}, expected an object")
    return data


def _read_config(folder: Path) -> dict:
    path = folder / "config.json"
    return read_json(check_inside(path, folder)) if path.is_file() else {}


def _choose(folder: Path) -> Path:
    """Find the one index or file of tensors in a folder; safetensors come first."""
    for pattern in (
        "*.safetensors" + _INDEX,
        "*.safetensors",
        "*" + _INDEX,
        *(f"*{suffix}" for suffix in SUFFIXES[1:]),
    ):
        found = sorted(path for path in folder.glob(pattern) if path.is_file())
        if len(found) > 1:
            names = ", ".join(path.name for path in found)
            raise ValueError(
                f"{folder} has {len(found)} files {pattern} ({names}), expected one; give the file you want"
            )
        if found:
            return check_inside(found[0], folder)
    raise FileNotFoundError(f"{folder} has no tensors: no {', no '.join('*' + suffix for suffix in SUFFIXES)}")


def _open_file(path: Path, *, inside: Path | None) -> Source:
    shards = path.name.endswith(_INDEX)
    files = _read_shards(path, inside or path.parent) if shards else (_read_file(path),)
    return Source(path=path, files=files, config={})


def _read_file(path: Path) -> TensorFile:
    """Read one file; what it is shows in its first bytes, not in its name."""
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; expected a file or folder of tensors")
    if not path.is_file():
        raise ValueError(f"{path} is not a regular file; expected tensors")
    with open(path, "rb") as file:
        start = file.read(64)
    if not start:
        raise ValueError(f"{path} is empty; get the file again")
    if start.startswith(b"PK\3\4"):
        return read_torch(path)
    if start.startswith(b"version https://git-lfs"):
        raise ValueError(f"{path} is a pointer of Git LFS, not the file itself; download it with git lfs pull")
    if start[:2] in (b"\x80\2", b"\x80\3", b"\x80\4"):
        raise ValueError(f"{path} is in the PyTorch format before 1.6; load it with PyTorch and save it again")
    if start[8:9] != b"{":
        raise ValueError(f"{path} is neither a safetensors file nor a PyTorch zip file; it starts with {start[:16]!r}")
    return read_safetensors(path)


def _read_shards(index: Path, folder: Path) -> tuple[TensorFile, ...]:
    """Read the shards that an index names; they must hold just what it says, each tensor once."""
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(name, str) for name in places.values()) or not places:
        raise ValueError(f"{index} has no weight_map from tensors to files; get the file again")
    problems, files = [], {}
    for name in sorted(set(places.values())):
        if Path(name).name != name or "\\" in name:
            problems.append(f"the index names {name!r}, which is not a plain file name")
        elif not (index.parent / name).is_file():
            problems.append(f"shard {name} is missing")
        else:
            try:
                files[name] = _read_file(check_inside(index.parent / name, folder))
            except ValueError as error:
                problems.append(str(error))
    wrong = {}
    for name, file in files.items():
        said = {tensor for tensor, place in places.items() if place == name}
        wrong |= dict.fromkeys(sorted(said - file.tensors.keys()), f"not in {name}, where the index has it")
        wrong |= {
            tensor: f"in {name}, but the index has it {f'in {places[tensor]}' if tensor in places else 'nowhere'}"
            for tensor in sorted(file.tensors.keys() - said)
        }
    problems += fold_by_text(wrong)
    if problems:
        raise ValueError("\n  ".join([f"{index} and its shards do not fit together; get them again:", *problems]))
    return tuple(files.values())
