"""Where tensors come from: a file, a folder of shards, a component of a model folder. All look the same."""

import collections
import dataclasses
import functools
import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from checkpoints.foreign import UNFINISHED, name_folder, name_start
from checkpoints.listing import fold_by_text
from checkpoints.safetensors_files import read_safetensors
from checkpoints.tensors import LazyTensor, TensorFile
from checkpoints.torch_files import read_torch

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt")
_INDEX = ".index.json"
_SHARD = re.compile(r"(.*)-(\d{5})-of-(\d{5})(\.\w+)")
_MAX_JSON = 64 << 20


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """The tensors of one network."""

    path: Path
    """The file or folder that was asked for."""
    files: tuple[TensorFile, ...]
    config: Mapping[str, Any]
    """What ``config.json`` beside the tensors says; empty where there is none."""
    taken: str = ""
    """What was taken off the names of all tensors, such as ``"module."``."""

    @functools.cached_property
    def tensors(self) -> dict[str, LazyTensor]:
        """All tensors by name."""
        return {name: tensor for file in self.files for name, tensor in file.tensors.items()}

    def renamed(self, rename: Callable[[str], str], taken: str) -> "Source":
        """Return the same tensors under other names; ``taken`` says what was taken off them."""
        files = (
            dataclasses.replace(file, tensors={rename(name): tensor for name, tensor in file.tensors.items()})
            for file in self.files
        )
        return dataclasses.replace(self, files=tuple(files), taken=taken)

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
        path: a safetensors file, a PyTorch file, the index of shards, or a folder that holds one of them, or all shards
            without their index (with ``config.json``, as diffusers and transformers write it). Links are followed.

    Raises:
        FileNotFoundError: there is nothing, or no tensors are in the folder.
        ValueError: a file is damaged or not what it should be, or the shards do not fit together; the text says how.
    """
    path = Path(path)
    if path.is_dir():
        return dataclasses.replace(_open_file(_choose(path)), path=path, config=_read_config(path))
    alone = path.exists() and [file for file in visible(path.parent, "*") if file.suffix in SUFFIXES] == [path]
    # In a folder of several networks nobody knows whose configuration it is.
    config = _read_config(path.parent) if alone or path.name.endswith(_INDEX) else {}
    return dataclasses.replace(_open_file(path), config=config)


def visible(folder: Path, pattern: str) -> list[Path]:
    """Find what fits a pattern in a folder, without hidden files: macOS leaves ``._NAME`` beside every file."""
    if "*" in pattern:
        found = list(folder.glob(pattern))
    else:  # glob would pass over a link that leads nowhere, of which reading tells
        found = [folder / pattern] if os.path.lexists(folder / pattern) else []
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))


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
    return read_json(path) if path.is_file() else {}


def _choose(folder: Path) -> Path | list[Path]:
    """Find the one index or file of tensors in a folder, or all shards of one; safetensors come first."""
    for pattern in (
        "*.safetensors" + _INDEX,
        "*.safetensors",
        "*" + _INDEX,
        *(f"*{suffix}" for suffix in SUFFIXES[1:]),
    ):
        found = [path for path in visible(folder, pattern) if path.is_file() or path.is_symlink()]
        shards = [match for path in found if (match := _SHARD.fullmatch(path.name))]
        if found and len(shards) == len(found) and len({(match[1], match[3], match[4]) for match in shards}) == 1:
            _check_complete(folder, shards)
            return found
        if len(found) > 1:
            names = ", ".join(path.name for path in found)
            raise ValueError(
                f"{folder} has {len(found)} files {pattern} ({names}), expected one; give the file you want"
            )
        if found:
            return found[0]
    known = name_folder(folder)
    none = f"{folder} has no tensors: no {', no '.join('*' + suffix for suffix in SUFFIXES)}"
    raise FileNotFoundError(f"{none}; {known}" if known else none)


def _check_complete(folder: Path, shards: list[re.Match]) -> None:
    count = int(shards[0][3])
    missing = sorted(set(range(1, count + 1)) - {int(match[2]) for match in shards})
    if missing:
        numbers = ", ".join(map(str, missing[:9])) + (", ..." if len(missing) > 9 else "")
        raise ValueError(
            f"{folder} has {len(shards)} of {count} shards and no index of them; missing: {numbers}. Get the others"
        )


def _open_file(path: Path | list[Path]) -> Source:
    if isinstance(path, list):
        return Source(path=path[0].parent, files=_read_without_index(path), config={})
    files = _read_shards(path) if path.name.endswith(_INDEX) else (_read_file(path),)
    return Source(path=path, files=files, config={})


def _read_file(path: Path) -> TensorFile:
    """Read one file; what it is shows in its first bytes, not in its name."""
    if not path.exists():
        if path.is_symlink():
            raise FileNotFoundError(f"{path} is a link to {os.readlink(path)}, which is not there; get the file again")
        raise FileNotFoundError(f"{path} does not exist; expected a file or folder of tensors")
    if not path.is_file():
        raise ValueError(f"{path} is not a regular file; expected tensors")
    started = [path.name + suffix for suffix in UNFINISHED if path.with_name(path.name + suffix).exists()]
    if started or path.suffix in UNFINISHED:
        because = f": {started[0]} lies beside it" if started else ""
        raise ValueError(f"{path} is a download that is not finished{because}; download it again")
    with open(path, "rb") as file:
        start = file.read(64)
    if not start:
        raise ValueError(f"{path} is empty; get the file again")
    if start.startswith(b"PK\3\4"):
        return read_torch(path)
    found = name_start(start)
    # The length of a header comes first in a safetensors file, and may look like the beginning of a pickle.
    fits = start[8:9] == b"{" and int.from_bytes(start[:8], "little") + 8 <= path.stat().st_size
    if found is not None and found[1] and not fits:
        raise ValueError(f"{path} is {found[0]}")
    if start[8:9] != b"{":
        what = f"it is {found[0]}" if found else f"it starts with {start[:16]!r}"
        raise ValueError(f"{path} is neither a safetensors file nor a PyTorch zip file; {what}")
    return read_safetensors(path)


def _read_without_index(paths: list[Path]) -> tuple[TensorFile, ...]:
    """Read the shards of a folder whose index is missing; no tensor may be in two of them."""
    files = tuple(map(_read_file, paths))
    places = collections.Counter(name for file in files for name in file.tensors)
    twice = {name: f"in {count} shards" for name, count in places.items() if count > 1}
    if twice:
        lines = [f"{paths[0].parent} has shards that do not fit together; get them again:", *fold_by_text(twice)]
        raise ValueError("\n  ".join(lines))
    return files


def _read_shards(index: Path) -> tuple[TensorFile, ...]:
    """Read the shards that an index names; they must hold just what it says, each tensor once."""
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(name, str) for name in places.values()) or not places:
        raise ValueError(f"{index} has no weight_map from tensors to files; get the file again")
    problems, files = [], {}
    for name in sorted(set(places.values())):
        if Path(name).name != name or "\\" in name:
            problems.append(f"the index names {name!r}, which is not a plain file name")
        elif not (index.parent / name).is_file() and not (index.parent / name).is_symlink():
            problems.append(f"shard {name} is missing")
        else:
            try:
                files[name] = _read_file(index.parent / name)
            except (ValueError, FileNotFoundError) as error:
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
