"""How parameters lie on disk: an Orbax checkpoint whose arrays are written and read piece by piece.

A parameter is one Zarr array, stacked layers included; each layer, and each piece of a large layer, is a file of
its own with a checksum. So a checkpoint can be written in any order, in little memory, and always with the same
bytes, which Orbax's own writer, made for arrays that are in memory, does not do. Orbax reads it like any of its own:
``orbax.checkpoint.StandardCheckpointer().restore(folder)``.
"""

import dataclasses
import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts

from checkpoints.tensors import DTYPES, copy_as, count_not_finite

PIECE_BYTES = 4 << 20
"""Bytes of a file at most. Writing takes some four times this; the largest model has some ten thousand files."""
_CHECKSUM_BYTES = 4
_AT_ONCE = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class ArrayPlan:
    """One parameter on disk."""

    shape: tuple[int, ...]
    dtype: np.dtype
    piece: tuple[int, ...]
    """Shape of what one file holds."""

    @classmethod
    def create(cls, shape: tuple[int, ...], dtype: Any, *, stacked: bool) -> "ArrayPlan":
        """Cut an array into pieces: by layers if they are stacked, then along the first axes."""
        dtype, axes, piece = np.dtype(dtype), list(shape), []
        if stacked:
            piece.append(axes.pop(0) and 1)
        while axes:
            size = axes.pop(0)
            rows = max(1, PIECE_BYTES // (math.prod(axes) * dtype.itemsize or 1))
            pieces = math.ceil(size / rows)
            piece.append(math.ceil(size / max(1, pieces)))  # evenly: a file is padded to the full size of a piece
        return cls(shape=tuple(shape), dtype=dtype, piece=tuple(max(1, size) for size in piece))

    @property
    def files(self) -> list[str]:
        """Names of the files."""
        counts = [range(math.ceil(size / piece)) for size, piece in zip(self.shape, self.piece)]
        return [".".join(map(str, ("c", *place))) for place in itertools.product(*counts)]

    @property
    def file_bytes(self) -> int:
        """Bytes of each file."""
        return math.prod(self.piece) * self.dtype.itemsize + _CHECKSUM_BYTES

    @property
    def nbytes(self) -> int:
        """Bytes of all files."""
        return len(self.files) * self.file_bytes

    def to_json(self) -> dict:
        """Return what a JSON file can hold."""
        return {"shape": list(self.shape), "dtype": self.dtype.name, "piece": list(self.piece)}

    @classmethod
    def from_json(cls, data: dict) -> "ArrayPlan":
        """Make the plan from what `to_json` returned."""
        return cls(shape=tuple(data["shape"]), dtype=DTYPES[data["dtype"]], piece=tuple(data["piece"]))


class StoredArray:
    """An array in a checkpoint folder."""

    def __init__(self, folder: Path, path: str, plan: ArrayPlan, *, create: bool = False):
        """Open the array of a parameter.

        Raises:
            ValueError: it is missing, or another than planned.
        """
        self.plan, self.folder = plan, array_folder(folder.resolve(), path)
        try:
            self._store = ts.open(_spec(self.folder, plan, writing=create), open=True, create=create).result()
        except ValueError as error:
            raise ValueError(f"{self.folder} is not the array that was written there: {_short(error)}") from None

    def write(self, values: np.ndarray, layer: int | None, staging: np.ndarray, progress: Callable[[int], Any]) -> None:
        """Write the array, or one layer of it, piece by piece.

        Args:
            values: of any strides, and of any floating dtype if that of the array is one.
            layer: which layer; ``None`` for all of the array.
            staging: `PIECE_BYTES` bytes to work in.
            progress: is told how many bytes of ``values`` were just written.

        Raises:
            OSError: it cannot be written.
            ValueError: a number is too large for the dtype.
        """
        values = values if layer is None else values[None]
        for place, piece in self._pieces(layer):
            source = values[place if layer is None else (slice(0, 1), *place[1:])]
            data = copy_as(source, self.plan.dtype, staging=staging)
            try:
                piece.write(data).result()
            except ValueError as error:
                raise OSError(f"cannot write {self.folder}: {_short(error)}") from None
            progress(source.nbytes)

    def read(self, layer: int | None = None, dtype: Any = None) -> np.ndarray:
        """Read the array or one layer of it, cast piece by piece.

        Raises:
            ValueError: a file is missing or damaged.
        """
        shape = self.plan.shape if layer is None else self.plan.shape[1:]
        out = np.empty(shape, dtype or self.plan.dtype)
        for place, data in self._load(layer):
            data = data if data.dtype == out.dtype else copy_as(data, out.dtype)
            out[place if layer is None else place[1:]] = data if layer is None else data[0]
        return out

    def verify(self, progress: Callable[[int], Any]) -> int:
        """Read all pieces, which compares them with their checksums, and count the numbers that are not finite.

        Raises:
            ValueError: a file is missing or damaged.
        """
        count = 0
        for _, data in self._load(None):
            count += count_not_finite(data)
            progress(data.nbytes)
        return count

    def _load(self, layer: int | None) -> Iterator[tuple[tuple[slice, ...], np.ndarray]]:
        """Read the pieces in order, a few at once."""
        pieces = self._pieces(layer)
        while batch := list(itertools.islice(pieces, _AT_ONCE)):
            reading = [(place, piece.read()) for place, piece in batch]
            for place, future in reading:
                try:
                    data = future.result()
                except ValueError as error:
                    raise ValueError(f"{self.folder} is damaged: {_short(error)}; convert again") from None
                yield place, data

    def _pieces(self, layer: int | None) -> Iterator[tuple[tuple[slice, ...], Any]]:
        ranges = [range(0, size, piece) for size, piece in zip(self.plan.shape, self.plan.piece)]
        if layer is not None:
            ranges[0] = range(layer, layer + 1)
        for starts in itertools.product(*ranges):
            limits = zip(starts, self.plan.piece, self.plan.shape)
            place = tuple(slice(start, min(start + piece, size)) for start, piece, size in limits)
            yield place, self._store[place] if place else self._store


def array_folder(folder: Path, path: str) -> Path:
    """Return the folder of a parameter's array, where Orbax looks for it."""
    return folder / path.replace("/", ".")


def write_tree(folder: Path, paths: Iterable[str]) -> None:
    """Write what makes a folder of arrays a checkpoint: the tree of their paths, as Orbax writes it."""
    leaves = {}
    for path in paths:
        keys = path.split("/")
        leaves[str(tuple(keys))] = {
            "key_metadata": [{"key": key, "key_type": _DICTIONARY} for key in keys],
            "value_metadata": {"value_type": "np.ndarray", "skip_deserialize": False},
        }
    tree = {
        "tree_metadata": leaves,
        "use_ocdbt": False,
        "use_zarr3": True,
        "store_array_data_equal_to_fill_value": True,
        "custom_metadata": None,
    }
    (folder / "_METADATA").write_text(json.dumps(tree))
    (folder / "_CHECKPOINT_METADATA").write_text(json.dumps({"item_handlers": _HANDLER}))


_DICTIONARY = 2
_HANDLER = "orbax.checkpoint._src.handlers.pytree_checkpoint_handler.PyTreeCheckpointHandler"


def _spec(folder: Path, plan: ArrayPlan, *, writing: bool) -> dict:
    return {
        "driver": "zarr3",
        "kvstore": {"driver": "file", "path": f"{folder}/"},
        "metadata": {
            "shape": list(plan.shape),
            "data_type": plan.dtype.name,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(plan.piece)}},
            # One folder for an array, not one for each index.
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
            # Not compressed: weights hardly shrink, and so the bytes depend on no version of a compressor.
            "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
        },
        # A missing file is an error, not zeros.
        "store_data_equal_to_fill_value": True,
        "fill_missing_data_reads": False,
        # Each thread at work has memory of its own, and there is only one piece to write at a time.
        "context": {name: {"limit": 1} for name in ("file_io_concurrency", "data_copy_concurrency")} if writing else {},
    }


def _short(error: Exception) -> str:
    return str(error).split(" [")[0].splitlines()[0]
