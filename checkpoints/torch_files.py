"""Read PyTorch checkpoints (``.pth``, ``.pt``, ``.bin``) lazily and without PyTorch."""

import functools
import math
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from checkpoints.tensors import LazyTensor, TensorFile, map_file
from checkpoints.torch_pickle import TensorView, read_pickle

_MAX_PICKLE = 64 << 20  # that of a model with ten thousand tensors has 2 MB
_PIECE = 4 << 20
_MOST_REPEATED = 1 << 30  # bytes; a buffer that is a number or a row, repeated, is small


class _Member(NamedTuple):
    """A file in the archive."""

    data: np.ndarray
    checksum: int


def read_torch(path: Path) -> TensorFile:
    """Open a state dict, or tensors alone, that ``torch.save`` wrote, in the zip format of PyTorch 1.6 and later.

    Raises:
        ValueError: it is truncated or damaged, compressed, no state dict, or its pickle asks for anything that a
            state dict does not need; nothing in it is ever run.
    """
    try:
        members = _members(path)
        folder = _folder(members)
        if folder + "constants.pkl" in members:
            raise ValueError("it is a TorchScript program; save the state dict of its module instead")
        _check_order(members, folder)
        pickle = members[folder + "data.pkl"]
        if pickle.data.size > _MAX_PICKLE:
            raise ValueError(f"its pickle has {pickle.data.size:,} bytes, expected at most {_MAX_PICKLE:,}")
        _check_sum("data.pkl", pickle, lambda _: None)
        views, ignored = _state_dict(read_pickle(pickle.data.tobytes()))
        for name, view in views.items():
            _check_bounds(name, view, members.get(f"{folder}data/{view.storage.key}"))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    tensors = {
        name: LazyTensor(
            name=name,
            shape=view.shape,
            dtype=view.dtype,
            file=path,
            open=functools.partial(_view, members[f"{folder}data/{view.storage.key}"].data, view),
        )
        for name, view in views.items()
    }
    verify = functools.partial(_verify, path, members)
    return TensorFile(path=path, tensors=tensors, ignored=ignored, verify=verify)


def _members(path: Path) -> dict[str, _Member]:
    """Find the files of the archive: stored as they are, none inside another."""
    data = map_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            infos, directory = archive.infolist(), archive.start_dir
    except Exception as error:  # on damaged archives, zipfile raises whatever its helpers do
        raise ValueError(f"it is not a whole zip archive ({error}); get the file again") from None
    members, end = {}, 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        header = data[info.header_offset : info.header_offset + 30].tobytes()
        names = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        start = info.header_offset + 30 + names
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size or info.flag_bits & 1:
            raise ValueError(f"its member {info.filename} is compressed or encrypted, which torch.save never does")
        if header[:4] != b"PK\3\4" or info.header_offset < end or start + info.file_size > directory:
            raise ValueError(f"its member {info.filename} is not where the archive says; get the file again")
        if info.filename in members:
            raise ValueError(f"it has two members named {info.filename}")
        end = start + info.file_size
        members[info.filename] = _Member(data[start:end], info.CRC)
    return members


def _folder(members: dict[str, _Member]) -> str:
    """Return the name of the one folder of the archive, with its slash."""
    found = [name.removesuffix("data.pkl") for name in members if name.split("/")[1:] == ["data.pkl"]]
    if len(found) != 1:
        raise ValueError(f"it is a zip archive with {len(found)} files */data.pkl, expected one, as torch.save writes")
    return found[0]


def _check_order(members: dict[str, _Member], folder: str) -> None:
    order = members.get(folder + "byteorder")
    if order is not None and order.data.tobytes() != b"little":
        raise ValueError(f"its byte order is {order.data[:20].tobytes()!r}, expected little")


def _state_dict(state: Any) -> tuple[dict[str, TensorView], tuple[str, ...]]:
    """Return the tensors of a state dict, which may be the only one inside another dictionary, and what else it has.

    A tensor that was saved by itself, such as latents, is called ``tensor``; those of a list have their numbers.
    """
    if isinstance(state, TensorView):
        return {"tensor": state}, ()
    if isinstance(state, list | tuple) and state and all(isinstance(item, TensorView) for item in state):
        return {str(number): item for number, item in enumerate(state)}, ()
    tensors = _tensors(state)
    if not tensors and isinstance(state, dict):
        inner = {name: value for name, value in state.items() if _tensors(value)}
        if len(inner) > 1:
            raise ValueError(
                f"it holds several state dicts ({', '.join(map(str, inner))}); save the one you want alone"
            )
        for state in inner.values():
            tensors = _tensors(state)
    if not tensors:
        raise ValueError(f"it holds a {type(state).__name__} without tensors, expected a state dict")
    return tensors, tuple(str(name) for name in state if name not in tensors)


def _tensors(state: Any) -> dict[str, TensorView]:
    if not isinstance(state, dict):
        return {}
    return {name: value for name, value in state.items() if isinstance(value, TensorView) and isinstance(name, str)}


def _check_bounds(name: str, view: TensorView, member: _Member | None) -> None:
    if member is None:
        raise ValueError(f"the data of tensor {name} is missing ({view.storage.key}); get the file again")
    length = view.storage.length * (view.storage.dtype or np.dtype(np.uint8)).itemsize
    if length != member.data.size:
        raise ValueError(
            f"the data of tensor {name} has {member.data.size:,} bytes, expected {length:,}; get the file again"
        )
    last = view.offset + sum((size - 1) * stride for size, stride in zip(view.shape, view.strides))
    if 0 not in view.shape and (last + 1) * view.dtype.itemsize > length:
        raise ValueError(f"tensor {name} reaches outside its data; get the file again")
    size = math.prod(view.shape) * view.dtype.itemsize  # of strides of zero, which repeat what is there
    if size > max(length, _MOST_REPEATED):
        raise ValueError(f"tensor {name} repeats {length:,} bytes of data to {size:,}; save a copy of it")


def _view(data: np.ndarray, view: TensorView) -> np.ndarray:
    if 0 in view.shape:
        return np.zeros(view.shape, view.dtype)
    itemsize = view.dtype.itemsize
    strides = tuple(stride * itemsize for stride in view.strides)
    return np.ndarray(view.shape, view.dtype, data, view.offset * itemsize, strides)


def _verify(path: Path, members: dict[str, _Member], progress: Callable[[int], Any]) -> None:
    for name, member in members.items():
        try:
            _check_sum(name, member, progress)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None


def _check_sum(name: str, member: _Member, progress: Callable[[int], Any]) -> None:
    checksum = 0
    for start in range(0, member.data.size, _PIECE):
        piece = member.data[start : start + _PIECE]
        checksum = zlib.crc32(piece.data, checksum)
        progress(piece.size)
    if checksum != member.checksum:
        raise ValueError(f"the checksum of {name} is wrong: the file is damaged; get it again")
