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

from checkpoints.eight_bits import RoundedKernel
from checkpoints.tensors import DTYPES, copy_as, count_not_finite

try:
    import google_crc32c
except ImportError:  # TensorStore knows the checksum too
    google_crc32c = None

PIECE_BYTES = 4 << 20
"""Bytes of a file at most. Writing takes some four times this; the largest model has some ten thousand files."""
_CHECKSUM_BYTES = 4


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

    def write(
        self,
        values: np.ndarray | RoundedKernel,
        layer: int | None,
        staging: np.ndarray,
        progress: Callable[[int], Any],
    ) -> None:
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
        for place in self._places(layer):
            source = values[place if layer is None else place[1:]]
            data = copy_as(source, self.plan.dtype, staging=staging)
            data = data if layer is None else data[None]
            try:
                (self._store[place] if place else self._store).write(data).result()
            except ValueError as error:
                raise OSError(f"cannot write {self.folder}: {_short(error)}") from None
            progress(source.nbytes)

    def read(self, layer: int | None = None, dtype: Any = None, *, out: np.ndarray | None = None) -> np.ndarray:
        """Read the array or one layer of it, cast piece by piece; ``out`` is where to put it, of that dtype.

        Raises:
            ValueError: a file is missing or damaged.
        """
        if out is None:
            out = np.empty(self.plan.shape if layer is None else self.plan.shape[1:], dtype or self.plan.dtype)
        whole = out if layer is None else out[None]
        for place in self._places(layer):
            inside = place if layer is None else (slice(0, 1), *place[1:])
            self._read_piece(place, whole[(*inside, ...)])
        return out

    def verify(self, progress: Callable[[int], Any]) -> int:
        """Read all pieces, which compares them with their checksums, and count the numbers that are not finite.

        Raises:
            ValueError: a file is missing or damaged.
        """
        count = 0
        for place in self._places(None):
            piece = np.empty([part.stop - part.start for part in place], self.plan.dtype)
            self._read_piece(place, piece)
            count += count_not_finite(piece)
            progress(piece.nbytes)
        return count

    def _read_piece(self, place: tuple[slice, ...], out: np.ndarray) -> None:
        """Read one file. Plainly, because TensorStore, which writes them, takes three times as long."""
        number = (part.start // size for part, size in zip(place, self.plan.piece))
        name = ".".join(map(str, ("c", *number)))
        try:
            if google_crc32c is None:
                copy_as((self._store[place] if place else self._store).read().result(), out=out)
                return
            fits = out.dtype == self.plan.dtype and out.shape == self.plan.piece and out.flags.c_contiguous
            data = out if fits else np.empty(self.plan.piece, self.plan.dtype)
            _read_checked(self.folder / name, data.reshape(-1).view(np.uint8))
        except FileNotFoundError:
            raise ValueError(f"{self.folder} is damaged: {name} is missing; convert again") from None
        except ValueError as error:
            raise ValueError(f"{self.folder} is damaged: {name}: {_short(error)}; convert again") from None
        if not fits:
            copy_as(data[tuple(slice(0, part.stop - part.start) for part in place)], out=out)

    def _places(self, layer: int | None) -> Iterator[tuple[slice, ...]]:
        ranges = [range(0, size, piece) for size, piece in zip(self.plan.shape, self.plan.piece)]
        if layer is not None:
            ranges[0] = range(layer, layer + 1)
        for starts in itertools.product(*ranges):
            limits = zip(starts, self.plan.piece, self.plan.shape)
            yield tuple(slice(start, min(start + piece, size)) for start, piece, size in limits)


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
    (folder / _TREE).write_text(json.dumps(tree))
    (folder / "_CHECKPOINT_METADATA").write_text(json.dumps({"item_handlers": _HANDLER}))


def is_tree(folder: Path) -> bool:
    """Tell whether a folder has been made a checkpoint by `write_tree`."""
    return (folder / _TREE).is_file()


_TREE = "_METADATA"
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


def _read_checked(file: Path, content: np.ndarray) -> None:
    """Read a piece into ``content``, bytes, and compare it with the checksum at its end."""
    with open(file, "rb", buffering=0) as stream:
        complete = stream.readinto(content.data) == content.size
        checksum, rest = stream.read(_CHECKSUM_BYTES), stream.read(1)
    assert google_crc32c is not None, "the caller has asked whether it is there"
    if not complete or rest or checksum != google_crc32c.value(content).to_bytes(_CHECKSUM_BYTES, "little"):
        raise ValueError("its length or checksum is wrong")


def _short(error: Exception) -> str:
    return str(error).split(" [")[0].splitlines()[0]
