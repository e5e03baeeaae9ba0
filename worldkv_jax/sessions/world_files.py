"""Where world folders lie: in a folder of the file system, or at a URL that TensorStore writes to."""

import contextlib
import fcntl
import os
import re
import socket
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import numpy as np

from worldkv_jax.files import check_named, make_folder, replacing

_FLUSHED_AT_ONCE = 16
_LOCK = "lock"
_HOLDER, _LONGEST_HOLDER = "process ", 500
_DRAFT = re.compile(r"world\.draft-\w+\.json|[0-9a-f]{64}\.draft(-\w+)?\.npy")
"""Names that are given to drafts here, and to nothing else: the folder may hold other files of its owner."""


class Files(Protocol):
    """Named files of one world folder."""

    place: str
    """What they are found by from anywhere, for manifests; `str` is how they were asked for, for messages."""

    def read(self, name: str) -> np.ndarray:
        """Return a file's bytes, uint8.

        Raises:
            FileNotFoundError: there is none.
            OSError: it cannot be read.
        """
        ...

    def names(self) -> set[str]:
        """Name the files that are there."""
        ...

    def write(self, name: str, parts: Iterable[bytes | memoryview]) -> None:
        """Begin to write a new file of these parts, one after another.

        Raises:
            OSError: there is no room, or the place cannot be written to.
        """
        ...

    def settle(self) -> None:
        """Wait until what was begun is there, each file whole under its name, and would survive a power cut.

        Raises:
            OSError: there is no room, or the place cannot be written to.
        """
        ...

    def replace(self, name: str, data: bytes) -> None:
        """Put a file in the place of the one before, whole or not at all, so that it would survive a power cut.

        Raises:
            OSError: there is no room, the place cannot be written to, or somebody else wrote the file meanwhile.
        """
        ...

    def remove(self, name: str) -> int:
        """Remove a file; return the bytes that are free again, 0 where that is not known."""
        ...

    def share(self, name: str, other: "Files") -> bool:
        """Give a file a second name in another folder; return whether that can be.

        Raises:
            FileNotFoundError: there is no such file.
        """
        ...

    def alone(self) -> contextlib.AbstractContextManager[None]:
        """Be the only one who writes.

        Raises:
            OSError: the place cannot be written to.
            ValueError: another process writes; the text says which.
        """
        ...


def open_files(path: str | os.PathLike[str]) -> Files:
    """Open a place: a path, or a URL such as ``gs://bucket/room`` of a key-value store of TensorStore.

    Raises:
        ValueError: a URL that is none, or an empty path.
    """
    check_named(path, "the world's folder")
    if isinstance(path, str) and "://" in path:
        from worldkv_jax.sessions.remote_files import RemoteFiles

        return RemoteFiles(path)
    return LocalFiles(path)


def holder() -> str:
    """Say who writes, for others who would like to."""
    return f"{_HOLDER}{os.getpid()} on {socket.gethostname()} since {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"


class LocalFiles:
    """A folder of the file system; whoever writes holds a lock, which the system lets go of when the process ends."""

    def __init__(self, folder: str | os.PathLike[str]):
        self.folder = Path(folder)
        self.place = str(self.folder.resolve())
        self._drafts: list[tuple[Path, Path]] = []

    def __str__(self) -> str:
        return str(self.folder)

    def read(self, name: str) -> np.ndarray:
        """Return a file's bytes."""
        path = self.folder / name
        if path.exists() and not path.is_file():  # of a device, such as one a link leads to, reading has no end
            raise OSError(f"{path} is not a regular file; take a copy of the world")
        return np.fromfile(path, np.uint8)

    def names(self) -> set[str]:
        """Name the files that are there."""
        return {path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if path.is_file()}

    def write(self, name: str, parts: Iterable[bytes | memoryview]) -> None:
        """Write a draft, which gets its name when all drafts are settled."""
        path = self.folder / name
        make_folder(path.parent)
        draft = path.with_name(f"{path.stem}.draft{path.suffix}")
        self._drafts.append((draft, path))
        with open(draft, "wb") as file:
            for part in parts:
                file.write(part)

    def settle(self) -> None:
        """Flush all drafts at once: one after another, each would wait for the file system's journal."""
        with ThreadPoolExecutor(_FLUSHED_AT_ONCE) as pool:
            list(pool.map(_flush, [draft for draft, _ in self._drafts]))
        for draft, path in self._drafts:
            os.replace(draft, path)
        for folder in {path.parent for _, path in self._drafts}:
            _flush(folder)
        self._drafts.clear()

    def replace(self, name: str, data: bytes) -> None:
        """Put a file in the place of the one before."""
        with replacing(self.folder / name) as draft:
            draft.write_bytes(data)
        _flush(self.folder)

    def remove(self, name: str) -> int:
        """Remove a file."""
        path = self.folder / name
        size = path.stat().st_size
        path.unlink()
        return size

    def share(self, name: str, other: Files) -> bool:
        """Link a file, where the other folder is on the same file system and that knows links."""
        if not isinstance(other, LocalFiles):
            return False
        target = other.folder / name
        make_folder(target.parent)
        try:
            os.link(self.folder / name, target)
        except FileNotFoundError:
            raise
        except OSError:
            return False
        return True

    @contextlib.contextmanager
    def alone(self) -> Generator[None]:
        """Hold the lock; drafts go, also those of a writer that was killed."""
        path = make_folder(self.folder) / _LOCK
        try:
            file = open(path, "a+", encoding="utf-8", errors="replace")  # noqa: SIM115 (closed below)
        except OSError as error:
            raise type(error)(f"cannot write {path}: {(error.strerror or str(error)).lower()}") from None
        with file:
            file.seek(0)
            who = file.read(_LONGEST_HOLDER).strip()
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                who = who or "another process"
                raise ValueError(f"{self} is being written by {who}; wait for it, or name another folder") from None
            if who and not who.startswith(_HOLDER):
                raise ValueError(f"{path} is a file of something else; name another folder for the world")
            file.truncate(0)
            file.write(holder())
            file.flush()
            self._drop_drafts()
            try:
                yield
            finally:
                self._drop_drafts()
                file.truncate(0)

    def _drop_drafts(self) -> None:
        for draft in [*self.folder.glob("*.draft*"), *self.folder.glob("arrays/*.draft*")]:
            if _DRAFT.fullmatch(draft.name):
                draft.unlink()


def _flush(path: Path) -> None:
    """Wait until a file's contents, or a folder's names, would survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
