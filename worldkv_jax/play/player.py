"""A played world: controls in, chunks out; it can be forked, rewound and made again, and touches no network or disk.

The same seed, memories and controls give the same latents bit for bit, whatever was forked or rewound meanwhile.
"""

import collections
import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from worldkv_jax.cameras.actions import Stance
from worldkv_jax.counts import counted
from worldkv_jax.evaluation.fidelity import psnr
from worldkv_jax.memory import check_room
from worldkv_jax.play.game import Game
from worldkv_jax.play.history import Tree
from worldkv_jax.play.lane import Lane
from worldkv_jax.play.points import Moment, Points
from worldkv_jax.rollout import observe
from worldkv_jax.sessions.array_store import describe_array
from worldkv_jax.sessions.seeds import key_of
from worldkv_jax.sessions.steering import Controls, KnowsTruth

POINT_EVERY = 8
"""Chunks from one point to the next."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LaneChunk:
    """What one lane made of a chunk."""

    memory: str
    frames: np.ndarray
    """``[n, height, width, 3]`` in [0, 1]."""
    latents: str
    """Checksum of its latents."""
    picks: tuple[int, ...]
    attended_tokens: int
    kv_bytes: dict[str, int]
    psnr: float | None
    """Against the truth, where that is known."""
    seconds: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlayedChunk:
    """A chunk that was made."""

    branch: int
    index: int
    """Its number in the world, given chunks included."""
    mark: str
    controls: Controls
    stance: Stance
    lanes: tuple[LaneChunk, ...]


class Player:
    """One played world.

    Attributes:
        tree: what was done.
        first: chunks that are given before the first one is generated.
    """

    def __init__(self, game: Game, tree: Tree, picture: np.ndarray | None = None):
        self.game, self.tree, self._picture = game, tree, picture
        self._points = Points(game.most_points)
        self._lanes: list[Lane] = []
        self._state: Any = None
        self._broken = False
        self.beginning = game.steering.begin(tree.seed, picture)
        self.first = len(self.beginning.inputs)
        self._begin()

    @property
    def position(self) -> int:
        """Chunks of the current branch, given ones included."""
        return self.first + len(self.tree.history)

    @property
    def stance(self) -> Stance:
        """Where the camera stands."""
        return self.game.steering.stance(self._state)

    @property
    def points(self) -> list[int]:
        """Chunks of the current branch, since its beginning, that it can go back to at once."""
        return [at for at, mark in enumerate(self.tree.history.marks) if mark in self._points]

    @property
    def full(self) -> str | None:
        """Say why the world cannot go on; ``None`` if it can."""
        most = self.game.steering.most_chunks
        if most is not None and self.position >= most:
            return f"a world of this model has at most {counted(most, 'chunk')}: go back in time, or reset it"
        for lane in self._lanes:
            try:
                check_room(lane.world.memory.layout, self.position)
            except ValueError:
                made = counted(self.position, "chunk")
                return f"the {lane.name} memory is full after {made}: go back in time, or reset it"
        return None

    def frames_of_next(self) -> int:
        """Return the video frames of the next chunk."""
        return self.game.steering.frames_of(self.position)

    def step(self, controls: Controls) -> PlayedChunk:
        """Make the next chunk.

        Raises:
            ValueError: keys that are not known, or a world without room.
        """
        if self._broken:
            collections.deque(self.make_current(), maxlen=0)
        if (full := self.full) is not None:
            raise ValueError(full)
        state, _ = self.game.steering.steer(self._state, controls)  # raises before anything is changed
        del state
        made = len(self.tree.history)
        self.tree.append(controls)
        try:
            return self._make(made)
        except BaseException:
            self.tree.rewind(made)
            self._broken = True  # of the lanes some may have gone on
            raise

    def reset(self, seed: int) -> None:
        """Begin another world."""
        self.tree.reset(seed)
        self.beginning = self.game.steering.begin(seed, self._picture)
        self._points.clear()
        self._begin()

    def make_current(self) -> Iterator[PlayedChunk]:
        """Make the end of the current branch again, from the latest point before its last chunk.

        After `Tree.fork`, `switch`, `rewind` or `remember_with`. Yields what it makes: at least the last chunk, so that
        there is something to show.
        """
        history = self.tree.history
        made, _ = self.latest_point() or (0, None)
        if made:
            self._resume(self._points.get(history.marks[made]))
        else:
            self._begin()
        for chunk in range(made, len(history)):
            yield self._make(chunk)
        self._points.keep_only(self.tree.marks())

    def latest_point(self) -> tuple[int, Moment] | None:
        """Return the latest point before the last chunk of the current branch: at how many chunks, and the moment."""
        marks = self.tree.history.marks
        at = next((at for at in range(len(marks) - 2, 0, -1) if marks[at] in self._points), None)
        return None if at is None else (at, self._points.get(marks[at]))

    def add_point(self, chunks: int, moment: Moment) -> None:
        """Take a point of the current branch that was kept elsewhere."""
        self._points.put(self.tree.history.marks[chunks], moment)

    def close(self) -> None:
        """Let go of everything."""
        for lane in self._lanes:
            lane.close()
        self._lanes = []
        self._points.clear()

    def _begin(self) -> None:
        root = self.tree.history.marks[0]
        if root in self._points:
            self._resume(self._points.get(root))
            return
        beginning, worlds = self.beginning, []
        for name in self.tree.memories:
            session = self.game.sessions[name]
            world = session.start(worlds=1, chunks=self.game.rooms[name])
            if beginning.inputs:
                observed = list(beginning.inputs), list(beginning.latents)
                world = observe(session.backbone, session.params, world, *observed)
            worlds.append(world)
        self._resume(Moment(tuple(worlds), beginning.state))
        self._points.put(root, self._moment())

    def _moment(self) -> Moment:
        """Copy the present."""
        return Moment(tuple(lane.copy() for lane in self._lanes), self._state)

    def _resume(self, moment: Moment) -> None:
        self._broken = False
        for lane in self._lanes:
            lane.close()
        key = key_of(self.tree.seed)
        self._lanes = [
            Lane(name, self.game.sessions[name], world, key)
            for name, world in zip(self.tree.memories, moment.worlds, strict=True)
        ]
        self._state = moment.state

    def _make(self, chunk: int) -> PlayedChunk:
        history, steering = self.tree.history, self.game.steering
        controls = history.controls[chunk]
        self._state, given = steering.steer(self._state, controls)
        truth = steering.truth(self._state) if isinstance(steering, KnowsTruth) else None
        lanes = tuple(_lane_chunk(lane, lane.step(given), truth) for lane in self._lanes)
        if (chunk + 1) % POINT_EVERY == 0 and history.marks[chunk + 1] not in self._points:
            self._points.put(history.marks[chunk + 1], self._moment())
            self._points.thin(history.marks)
        return PlayedChunk(
            branch=self.tree.current,
            index=self.first + chunk,
            mark=history.marks[chunk + 1],
            controls=controls,
            stance=steering.stance(self._state),
            lanes=lanes,
        )


def _lane_chunk(lane: Lane, chunk: Any, truth: np.ndarray | None) -> LaneChunk:
    frames = np.asarray(chunk.frames[0])
    return LaneChunk(
        memory=lane.name,
        frames=frames,
        latents=describe_array(chunk.latents).sha256,
        picks=tuple(int(pick) for pick in chunk.retrieved[0]),
        attended_tokens=chunk.attended_tokens,
        kv_bytes=chunk.kv_bytes,
        psnr=None if truth is None else float(np.mean(psnr(frames, truth))),
        seconds=chunk.seconds,
    )
