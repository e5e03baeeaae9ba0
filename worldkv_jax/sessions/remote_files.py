"""World folders at URLs: key-value stores of TensorStore, such as ``gs://bucket/room`` or ``s3://bucket/room``."""

import contextlib
import functools
from collections.abc import Generator, Iterable
from typing import Any

import numpy as np
import tensorstore as ts

from worldkv_jax.sessions.world_files import Files, holder

_HELD_BYTES = 1 << 28
_WRITER = "writer"


class RemoteFiles:
    """A `Files` in a key-value store.

    Nothing there lets go of a lock when its holder dies, so there is none: a file is replaced only where it is the one
    that was read, and of two writers the later one is told at its next point.
    """

    def __init__(self, url: str):
        self.place = url.rstrip("/") + "/"
        try:
            self._store = ts.KvStore.open(self.place, context=_context()).result()
        except Exception as error:
            raise ValueError(f"{url} is no place that TensorStore opens: {_first_line(error)}") from None
        self._begun: list[tuple[str, Any]] = []
        self._held = 0
        self._seen: dict[str, bytes] = {}

    def __str__(self) -> str:
        return self.place.rstrip("/")

    def read(self, name: str) -> np.ndarray:
        """Return a file's bytes."""
        found = self._wait(self._store.read(name), f"read {name}")
        self._seen[name] = found.stamp.generation
        if found.state != "value":
            raise FileNotFoundError(f"{self.place}{name} is not there")
        return np.frombuffer(found.value, np.uint8)

    def names(self) -> set[str]:
        """Name the files that are there."""
        return {key.decode() for key in self._wait(self._store.list(), "be listed")}

    def write(self, name: str, parts: Iterable[bytes | memoryview]) -> None:
        """Begin to write; waits for what was begun before where that takes much memory."""
        data = b"".join(parts)
        self._held += len(data)
        self._begun.append((name, self._store.write(name, data)))
        if self._held > _HELD_BYTES:
            self.settle()

    def settle(self) -> None:
        """Wait for what was begun."""
        begun, self._begun, self._held = self._begun, [], 0
        for name, future in begun:
            self._wait(future, f"write {name}")

    def replace(self, name: str, data: bytes) -> None:
        """Put a file in the place of the one that was read or written here last."""
        stamp = self._wait(self._store.write(name, data, if_equal=self._seen[name]), f"write {name}")
        if not stamp.generation:
            who = bytes(self.read(_WRITER)).decode(errors="replace")
            raise FileExistsError(f"{self} is written by another process as well, latest by {who}; name another place")
        self._seen[name] = stamp.generation

    def remove(self, name: str) -> int:
        """Remove a file; the store does not say how large it was."""
        self._wait(self._store.write(name, None), f"remove {name}")
        return 0

    def share(self, name: str, other: Files) -> bool:
        """Return that there are no second names."""
        return False

    @contextlib.contextmanager
    def alone(self) -> Generator[None]:
        """Leave a note of who writes."""
        self._wait(self._store.write(_WRITER, holder()), f"write {_WRITER}")
        yield

    def _wait(self, future: Any, what: str) -> Any:
        try:
            return future.result()
        except Exception as error:
            raise OSError(f"{self.place} cannot {what}: {_first_line(error)}") from None


@functools.cache
def _context() -> ts.Context:
    """Share connections, and what ``memory://`` holds, over the process."""
    return ts.Context()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
