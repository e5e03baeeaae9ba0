"""What was done in a played world: branches of controls, and nothing of what they made.

A history is named by marks: the mark after a chunk is a checksum of all that decided the world up to there. Whatever
was made is kept under its mark, so that branches share their common past, and what is kept is never another past's.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Sequence

from worldkv_jax.counts import counted
from worldkv_jax.sessions.steering import Controls

MOST_BRANCHES = 64
MOST_NAMES = 32


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
        picture: checksum of the picture that it begins with, where that was given.
        branches: by number.
        current: number of the branch that goes on.
        named: moments that were given a name.
    """

    def __init__(self, seed: int, memories: Sequence[str], picture: str | None = None):
        self.seed, self.memories, self.picture = seed, tuple(memories), picture
        self.branches: dict[int, Branch] = {}
        self.named: dict[str, tuple[int, History]] = {}
        self.current = 0
        self.reset(seed)

    @property
    def history(self) -> History:
        """Of the current branch."""
        return self.branches[self.current].history

    def reset(self, seed: int) -> None:
        """Begin another world."""
        self.seed, self.current, self.named = seed, 0, {}
        self.branches = {0: Branch(0, None, 0, History(self._root()))}

    def append(self, controls: Controls) -> str:
        """Add a chunk to the current branch; return its mark."""
        self.history.append(controls)
        return self.history.marks[-1]

    def apply(self, change: Sequence) -> None:
        """Change it as a list says, such as ``["fork", 3]``; what can be written down can be done again.

        Raises:
            ValueError: it cannot be done, or is no change.
        """
        match list(change):
            case ["chunk", controls]:
                self.append(Controls.from_json(controls))
            case ["fork", at]:
                self.fork(at)
            case ["switch", number]:
                self.switch(number)
            case ["rewind", chunk]:
                self.rewind(chunk)
            case ["reset", seed]:
                self.reset(seed)
            case ["memory", [*memories]]:
                self.remember_with(memories)
            case ["save", name]:
                self.save(name)
            case ["restore", name]:
                self.restore(name)
            case _:
                raise ValueError(f"{str(change)[:60]} is no change of a world")

    def fork(self, at: int | None = None) -> Branch:
        """Begin a branch, which becomes the current one, now or at an earlier chunk.

        Raises:
            ValueError: the chunk is not there, or there are too many branches.
        """
        at = len(self.history) if at is None else at
        self._check(at)
        return self._add(self.current, self.history.cut(at))

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
        for name, (number, history) in self.named.items():
            self.named[name] = number, History(self._root(), history.controls)

    def save(self, name: str) -> None:
        """Give the present a name.

        Raises:
            ValueError: there are too many.
        """
        if name not in self.named and len(self.named) >= MOST_NAMES:
            raise ValueError(
                f"{MOST_NAMES} moments have names, and no more are kept; use one of {', '.join(self.named)}"
            )
        self.named[name] = self.current, self.history.cut(len(self.history))

    def restore(self, name: str) -> Branch:
        """Begin a branch at a moment that has a name.

        Raises:
            ValueError: there is none, or there are too many branches.
        """
        if name not in self.named:
            names = ", ".join(self.named) or "none yet"
            raise ValueError(f"no moment is called {name!r}; there are: {names}")
        parent, history = self.named[name]
        return self._add(parent, history.cut(len(history)))

    def marks(self) -> set[str]:
        """Return the marks of all branches."""
        histories = [branch.history for branch in self.branches.values()]
        histories += [history for _, history in self.named.values()]
        return {mark for history in histories for mark in history.marks}

    def _add(self, parent: int, history: History) -> Branch:
        if len(self.branches) >= MOST_BRANCHES:
            raise ValueError(f"there are {MOST_BRANCHES} branches, and no more are kept; reset the world to begin anew")
        number = max(self.branches) + 1
        self.branches[number] = Branch(number, parent, len(history), history)
        self.current = number
        return self.branches[number]

    def _check(self, chunk: int) -> None:
        if not 0 <= chunk <= len(self.history):
            made = counted(len(self.history), "chunk")
            raise ValueError(f"the world has {made} since its beginning; {chunk} is not among them")

    def _root(self) -> str:
        return hashlib.sha256(json.dumps([self.seed, self.memories, self.picture]).encode()).hexdigest()[:32]
