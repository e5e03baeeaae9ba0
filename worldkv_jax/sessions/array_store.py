"""Arrays on disk under the checksum of what they hold: each is written once, whoever names it."""

import dataclasses
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from worldkv_jax.media.files import make_folder, replacing

_SUFFIX = ".npy"
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

    def to_json(self) -> list:
        """Return what a manifest says of it."""
        return [self.sha256, self.dtype, list(self.shape)]

    @classmethod
    def from_json(cls, data: Any) -> "ArrayRef":
        """Make one of what a manifest says.

        Raises:
            ValueError: it says something else.
        """
        digest, dtype, shape = data
        if not (isinstance(digest, str) and len(digest) == 64 and digest.isalnum()):
            raise ValueError(f"{digest!r} is no checksum")
        return cls(digest, jnp.dtype(dtype).name, tuple(int(size) for size in shape))


class ArrayStore:
    """A folder of ``.npy`` files; those that are there are never written again."""

    def __init__(self, folder: str | os.PathLike):
        self.folder = Path(folder)

    def put(self, array: Any) -> ArrayRef:
        """Write an array, unless it is there.

        Raises:
            OSError: the folder cannot be written to, or has no room.
        """
        ref, plain = _described(array)
        path = self._path(ref)
        if not path.exists():
            with replacing(path) as draft, open(draft, "wb") as file:
                np.lib.format.write_array(file, plain, allow_pickle=False)
        return ref

    def get(self, ref: ArrayRef) -> np.ndarray:
        """Read an array, and compare its checksum.

        Raises:
            FileNotFoundError: it is not there.
            ValueError: it is truncated, or not what was written.
        """
        path = self._path(ref)
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing: the world is not whole; take a copy of it")
        stored = plain_dtype(ref.dtype)
        try:
            array = np.load(path, allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise ValueError(f"{path} is damaged ({error}); take a copy of the world") from None
        if array.dtype != stored or array.shape != ref.shape:
            raise ValueError(
                f"{path} holds {array.dtype} {array.shape}, expected {stored} {ref.shape}; take a copy of the world"
            )
        array = array.view(jnp.dtype(ref.dtype))
        if describe_array(array) != ref:
            raise ValueError(f"{path} was changed: its checksum is another; take a copy of the world")
        return array

    def share(self, ref: ArrayRef, other: "ArrayStore") -> None:
        """Give an array to another store, as a second name of the same file where the file system can."""
        source, target = self._path(ref), other._path(ref)
        if target.exists():
            return
        make_folder(target.parent)
        try:
            os.link(source, target)
        except FileNotFoundError:
            self.get(ref)  # says what is missing
            raise
        except OSError:  # another file system, or one without links
            other.put(self.get(ref))

    def sweep(self, keep: Iterable[ArrayRef]) -> int:
        """Remove what is not named; return the bytes that are free again."""
        names = {ref.sha256 + _SUFFIX for ref in keep}
        freed = 0
        for path in [*self.folder.glob("*" + _SUFFIX)]:
            if path.name not in names:
                freed += path.stat().st_size
                path.unlink()
        return freed

    def _path(self, ref: ArrayRef) -> Path:
        return self.folder / (ref.sha256 + _SUFFIX)


def describe_array(array: Any) -> ArrayRef:
    """Return the name that a store gives an array, without writing it."""
    return _described(array)[0]


def plain_dtype(name: str) -> np.dtype:
    """Return the dtype that stands for one in files: unsigned integers for those that NumPy alone does not know."""
    dtype = jnp.dtype(name)
    return np.dtype(f"u{dtype.itemsize}") if dtype.kind == "V" or dtype.isbuiltin != 1 else np.dtype(dtype)


def _described(array: Any) -> tuple[ArrayRef, np.ndarray]:
    array = np.asarray(array)
    plain = np.ascontiguousarray(array).reshape(array.shape).view(plain_dtype(array.dtype.name))
    digest = hashlib.sha256(f"{array.dtype.name} {array.shape} ".encode())
    raw = plain.reshape(-1).view(np.uint8)
    for start in range(0, raw.size, _HASHED_AT_ONCE):
        digest.update(raw[start : start + _HASHED_AT_ONCE])
    return ArrayRef(digest.hexdigest(), array.dtype.name, array.shape), plain
