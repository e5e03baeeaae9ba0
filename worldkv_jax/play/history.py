"""What was done in a played world: branches of controls, and nothing of what they made.

A history is named by marks: the mark after a chunk is a checksum of all that decided the world up to there. Whatever
was made is kept under its mark, so that branches share their common past, and what is kept is never another past's.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Sequence

from worldkv_jax.sessions.steering import Controls

MOST_BRANCHES = 64


class History:
    """Controls of one branch from the world's beginning, and the mark after each chunk."""

    def __init__(self, root: str, controls: Iterable[Controls] = ()):
        self.controls: list[Controls] = []
        self.marks = [root]
        for one in controls:
            self.append(one)

    def append(self, controls: Controls) -> None:
        """Add a chunk."""
        said = json.dumps([self.marks[-1], controls.to_json()], separators=(",", ":"))
        self.controls.append(controls)
        self.marks.append(hashlib.sha256(said.encode()).hexdigest()[:32])

    def cut(self, chunks: int) -> "History":
        """Return the history of the first chunks."""
        cut = History(self.marks[0])
        cut.controls, cut.marks = self.controls[:chunks], self.marks[: chunks + 1]
        return cut

    def __len__(self) -> int:
        return len(self.controls)


@dataclasses.dataclass
class Branch:
    """One line of the world's time."""

    number: int
    parent: int | None
    at: int
    """Chunks that it has in common with its parent."""
    history: History


class Tree:
    """All branches of a played world; counts chunks from the first that is generated.

    Attributes:
        seed: of the world.
        memories: of its lanes.
        branches: by number.
        current: number of the branch that goes on.
    """

    def __init__(self, seed: int, memories: Sequence[str]):
        self.seed, self.memories = seed, tuple(memories)
        self.branches: dict[int, Branch] = {}
        self.current = 0
        self.reset(seed)

    @property
    def history(self) -> History:
        """Of the current branch."""
        return self.branches[self.current].history

    def reset(self, seed: int) -> None:
        """Begin another world."""
        self.seed, self.current = seed, 0
        self.branches = {0: Branch(0, None, 0, History(self._root()))}

    def append(self, controls: Controls) -> str:
        """Add a chunk to the current branch; return its mark."""
        self.history.append(controls)
        return self.history.marks[-1]

    def fork(self, at: int | None = None) -> Branch:
        """Begin a branch, which becomes the current one, now or at an earlier chunk.

        Raises:
            ValueError: the chunk is not there, or there are too many branches.
        """
        at = len(self.history) if at is None else at
        self._check(at)
        if len(self.branches) >= MOST_BRANCHES:
            raise ValueError(f"there are {MOST_BRANCHES} branches, and no more are kept; reset the world to begin anew")
        number = max(self.branches) + 1
        self.branches[number] = Branch(number, self.current, at, self.history.cut(at))
        self.current = number
        return self.branches[number]

    def switch(self, number: int) -> None:
        """Go on with another branch.

        Raises:
            ValueError: there is no such branch.
        """
        if number not in self.branches:
            raise ValueError(f"there is no branch {number}; there are {', '.join(map(str, self.branches))}")
        self.current = number

    def rewind(self, chunk: int) -> None:
        """Forget what the current branch has after a chunk; branches that began there keep it.

        Raises:
            ValueError: the chunk is not there.
        """
        self._check(chunk)
        branch = self.branches[self.current]
        branch.history = branch.history.cut(chunk)
        branch.at = min(branch.at, chunk)

    def remember_with(self, memories: Sequence[str]) -> None:
        """Give the world other memories: what they make of the same controls is another world."""
        self.memories = tuple(memories)
        for branch in self.branches.values():
            branch.history = History(self._root(), branch.history.controls)

    def marks(self) -> set[str]:
        """Return the marks of all branches."""
        return {mark for branch in self.branches.values() for mark in branch.history.marks}

    def _check(self, chunk: int) -> None:
        if not 0 <= chunk <= len(self.history):
            raise ValueError(f"the world has {len(self.history)} chunks since its beginning; {chunk} is not among them")

    def _root(self) -> str:
        return hashlib.sha256(json.dumps([self.seed, self.memories]).encode()).hexdigest()[:32]
