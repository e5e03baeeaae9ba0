"""Progress of long work, for people who wait at a terminal."""

from collections.abc import Iterable
from typing import Any


def row_bar(rows: Iterable[Any], total: int) -> Iterable[Any]:
    """Show a bar while the rows of a benchmark are measured."""
    from tqdm import tqdm

    return tqdm(rows, total=total, unit="row", leave=False, disable=None)


class ByteBars:
    """A bar for each kind of work that is counted in bytes."""

    def __init__(self):
        self._bar: Any = None
        self._what: str | None = None

    def __enter__(self) -> "ByteBars":
        return self

    def __exit__(self, *_) -> None:
        if self._bar is not None:
            self._bar.close()

    def __call__(self, what: str, done: int, total: int | None) -> None:
        """Show that ``done`` more bytes of ``total``, where that is known, are done."""
        from tqdm import tqdm

        if what != self._what:
            self.__exit__()
            self._bar = tqdm(desc=what, total=total, unit="B", unit_scale=True, leave=False, disable=None)
            self._what = what
        self._bar.update(done)
