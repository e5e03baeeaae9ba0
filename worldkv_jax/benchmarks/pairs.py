"""What can be compared with: the same work in two programs, each opened only where it is measured."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

Work = Callable[[], Any]
"""Does the work once and returns an array when it is done."""


class NotComparable(Exception):
    """Raised by a `Peer` that cannot be compared with here; says what it lacks."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pair:
    """The same work, done by ours and by theirs."""

    what: str
    """What is done, with its sizes."""
    ours: Callable[[], Work]
    """Opens ours: loads weights, compiles nothing yet."""
    theirs: Callable[[], Work]
    tolerance: float
    """Largest deviation of the results, as a share of the largest number."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
    """Where a comparison takes place."""

    scratch: Path
    """A folder for what both read, such as weights; removed after the comparison."""
    rounds: int = 1
    """How often the work is repeated after the first time."""
    upstream: tuple[Path, ...] = ()
    """Folders of clones of repositories that the user gives."""

    def clone_with(self, file: str, repository: str) -> Path:
        """Return the clone that holds a file, or the folder in it that does.

        Raises:
            NotComparable: none does; the text names the repository.
        """
        for folder in self.upstream:
            for found in (folder / file, *folder.glob(f"*/{file}")):
                if found.is_file():
                    return found.parents[file.count("/")]
        given = ", ".join(map(str, self.upstream)) or "none"
        raise NotComparable(f"no folder of --upstream (given: {given}) holds {file}, of {repository}")


Peer = Callable[[Place], Pair]
"""Writes what both sides read to the scratch folder, unless it is there, and says how each is opened."""
