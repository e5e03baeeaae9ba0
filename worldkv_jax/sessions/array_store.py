"""Arrays on disk under the checksum of what they hold: each is written once, whoever names it."""

import dataclasses
import functools
import hashlib
import io
import re
from collections.abc import Iterable
from typing import Any

import jax.numpy as jnp
import numpy as np

from worldkv_jax.sessions.world_files import Files

_FOLDER = "arrays/"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_OURS = re.compile(rf"{_FOLDER}{_DIGEST.pattern}\.npy")
_LONGEST_HEAD = 1 << 12
_HASHED_AT_ONCE = 1 << 24


@dataclasses.dataclass(frozen=True)
class ArrayRef:
    """Names an array of a store, and says what it is."""

    sha256: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of its numbers."""
        return int(np.prod(self.shape, dtype=np.int64)) * jnp.dtype(self.dtype).itemsize

    def to_json(self) -> list[Any]:
        """Return what a manifest says of it."""
        return [self.sha256, self.dtype, list(self.shape)]

    @classmethod
    def from_json(cls, data: Any) -> "ArrayRef":
        """Make one of what a manifest says.

        Raises:
            ValueError: it says something else.
        """
        digest, dtype, shape = data
        if not (isinstance(digest, str) and _DIGEST.fullmatch(digest)):
            raise ValueError(f"{digest!r} is no checksum")
        if jnp.dtype(dtype).kind in "OSUmM":
            raise ValueError(f"{dtype!r} is no dtype of numbers")
        return cls(digest, jnp.dtype(dtype).name, tuple(int(size) for size in shape))


class ArrayStore:
    """The ``.npy`` files of a world folder; those that are there are never written again."""

    def __init__(self, files: Files):
        self._files = files

    def put(self, array: Any) -> ArrayRef:
        """Begin to write an array, unless it is there; `Files.settle` waits for it.

        Raises:
            OSError: the folder cannot be written to, or has no room.
        """
        ref, plain = _described(array)
        name = _name(ref)
        if name not in self._there:
            head = io.BytesIO()
            np.lib.format.write_array_header_1_0(head, np.lib.format.header_data_from_array_1_0(plain))
            self._files.write(name, (head.getvalue(), plain.reshape(-1).view(np.uint8).data))
            self._there.add(name)
        return ref

    def get(self, ref: ArrayRef) -> np.ndarray:
        """Read an array, and compare its checksum.

        Raises:
            FileNotFoundError: it is not there.
            ValueError: it is truncated, or not what was written.
        """
        where = f"{_name(ref)} of {self._files}"
        try:
            data = self._files.read(_name(ref))
        except FileNotFoundError:
            raise FileNotFoundError(f"{where} is missing: the world is not whole; take a copy of it") from None
        expected = plain_dtype(ref.dtype), ref.shape
        head = io.BytesIO(data[:_LONGEST_HEAD].tobytes())
        try:
            np.lib.format.read_magic(head)
            shape, _, dtype = np.lib.format.read_array_header_1_0(head)
        except ValueError as error:
            raise ValueError(f"{where} is damaged ({error}); take a copy of the world") from None
        if (dtype, shape) != expected:
            raise ValueError(f"{where} holds {dtype} {shape}, expected {expected}; take a copy of the world")
        data = data[head.tell() :]
        if data.nbytes != ref.nbytes:
            raise ValueError(
                f"{where} is damaged (it has {data.nbytes} bytes of {ref.nbytes}); take a copy of the world"
            )
        array = data.view(jnp.dtype(ref.dtype)).reshape(shape)
        if describe_array(array) != ref:
            raise ValueError(f"{where} was changed: its checksum is another; take a copy of the world")
        return array

    def share(self, ref: ArrayRef, other: "ArrayStore") -> None:
        """Give an array to another store, as a second name of the same file where that can be.

        Raises:
            FileNotFoundError: it is not there.
        """
        name = _name(ref)
        if name in other._there:
            return
        if name in self._there and self._files.share(name, other._files):
            other._there.add(name)
        else:
            other.put(self.get(ref))

    def sweep(self, keep: Iterable[ArrayRef]) -> int:
        """Remove what is not named; return the bytes that are free again, as far as that is known."""
        kept = {_name(ref) for ref in keep}
        return sum(self._files.remove(name) for name in self._there - kept)

    @functools.cached_property
    def _there(self) -> set[str]:
        return {name for name in self._files.names() if _OURS.fullmatch(name)}


def describe_array(array: Any) -> ArrayRef:
    """Return the name that a store gives an array, without writing it."""
    return _described(array)[0]


def plain_dtype(name: str) -> np.dtype:
    """Return the dtype that stands for one in files: unsigned integers for those that NumPy alone does not know."""
    dtype = jnp.dtype(name)
    return np.dtype(f"u{dtype.itemsize}") if dtype.kind == "V" or dtype.isbuiltin != 1 else np.dtype(dtype)


def _name(ref: ArrayRef) -> str:
    return f"{_FOLDER}{ref.sha256}.npy"


def _described(array: Any) -> tuple[ArrayRef, np.ndarray]:
    array = np.asarray(array)
    plain = np.ascontiguousarray(array).reshape(array.shape).view(plain_dtype(array.dtype.name))
    digest = hashlib.sha256(f"{array.dtype.name} {array.shape} ".encode())
    raw = plain.reshape(-1).view(np.uint8)
    for start in range(0, raw.size, _HASHED_AT_ONCE):
        digest.update(raw[start : start + _HASHED_AT_ONCE].data)
    return ArrayRef(digest.hexdigest(), array.dtype.name, array.shape), plain
