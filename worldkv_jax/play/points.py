"""Points: moments of a played world that are kept, to go back to any chunk by making few of them again."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax

from worldkv_jax.rollout import World
from worldkv_jax.sessions.held_world import HeldWorld


class Moment(NamedTuple):
    """The state between two chunks: what the next one needs."""

    worlds: tuple[World, ...]
    """Of each lane; copies, which share their stored chunks with all others."""
    state: Any
    """Of the steering."""


class Points:
    """Moments under their marks; on an accelerator what is copied of them lies in host memory."""

    def __init__(self, most: int):
        if most < 2:
            raise ValueError(f"most={most}: a world needs its beginning and one more point")
        self._most = most
        self._kept: dict[str, tuple[tuple[World | HeldWorld, ...], Any]] = {}

    def __contains__(self, mark: str) -> bool:
        return mark in self._kept

    def __len__(self) -> int:
        return len(self._kept)

    def put(self, mark: str, moment: Moment) -> None:
        """Keep a moment."""
        worlds: tuple[World | HeldWorld, ...] = moment.worlds
        if jax.default_backend() != "cpu":
            worlds = tuple(HeldWorld(world) for world in moment.worlds)
        self._kept[mark] = worlds, moment.state

    def get(self, mark: str) -> Moment:
        """Return a moment, whose worlds are forks: they can be gone on with any number of times."""
        worlds, state = self._kept[mark]
        return Moment(tuple(world.back() if isinstance(world, HeldWorld) else world for world in worlds), state)

    def keep_only(self, marks: set[str]) -> None:
        """Let go of all others."""
        self._kept = {mark: kept for mark, kept in self._kept.items() if mark in marks}

    def clear(self) -> None:
        """Let go of everything."""
        self._kept.clear()

    def thin(self, marks: Sequence[str]) -> None:
        """Keep few: close together near the end of a history, farther apart in its past, and its beginning.

        Args:
            marks: of the history that goes on; at most half of the points are of others.
        """
        while len(self._kept) > self._most:
            at = [chunk for chunk in range(1, len(marks)) if marks[chunk] in self._kept]
            here = {marks[chunk] for chunk in at} | {marks[0]}
            others = [mark for mark in self._kept if mark not in here]
            if others and (len(others) > self._most // 2 or len(at) < 3):
                del self._kept[others[0]]
                continue
            # Without which the gap, as far as it lies back, is the smallest; the latest stays.
            before = [0, *at]
            gaps = [(at[i + 1] - before[i]) / (len(marks) - at[i]) for i in range(len(at) - 1)]
            del self._kept[marks[at[gaps.index(min(gaps))]] if gaps else marks[at[0]]]
