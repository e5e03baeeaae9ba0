"""The time line of a world: moments that are kept, and what was given between them, to go back to any chunk."""

from typing import Literal

import jax

from worldkv_jax.rollout import ChunkInput, Noise, World, fork, snapshot
from worldkv_jax.sessions.held_world import HeldWorld
from worldkv_jax.whole_numbers import whole


class TimeLine:
    """Keeps a point every so many chunks, in memory; give it to `Session.stream`, then `Session.rewind`.

    A point holds what a step consumes, and shares the stored chunks with all others; a bank in one array
    (``tier="device"``) is copied for every point.

    Attributes:
        inputs: what each chunk was given, from the first one that the time line saw.
        noise: what its noise was drawn from, a key or a function.
    """

    def __init__(self, *, every: int = 5, points: Literal["device", "host"] = "device"):
        """Make an empty time line.

        Args:
            every: chunks from one point to the next.
            points: memory that holds the points; ``host`` for large models.

        Raises:
            ValueError: not a whole number of chunks, or another memory.
        """
        if whole("every", every) < 1:
            raise ValueError(f"every={every}: give at least 1 chunk")
        if points not in ("device", "host"):
            raise ValueError(f"points={points!r}: give 'device' or 'host'")
        self.inputs: dict[int, ChunkInput] = {}
        self.noise: jax.Array | Noise | None = None
        self._every, self._tier = every, points
        self._points: dict[int, World | HeldWorld] = {}

    @property
    def key(self) -> jax.Array | None:
        """Random key of the noise that made it."""
        return self.noise if isinstance(self.noise, jax.Array) else None

    @property
    def points(self) -> list[int]:
        """Chunks made at each point."""
        return sorted(self._points)

    @property
    def end(self) -> int:
        """Chunks made at the end of what it knows."""
        return max([*self._points, *(chunk + 1 for chunk in self.inputs)], default=0)

    def begin(self, world: World, noise: jax.Array | Noise) -> World:
        """Take the world that goes on, from the end or from an earlier chunk; return the one to go on with.

        Raises:
            ValueError: it is further than the time line knows.
        """
        position = int(world.position)
        if self._points and position > self.end:
            raise ValueError(f"the time line ends at chunk {self.end}, and the world is at chunk {position}")
        self.inputs = {chunk: given for chunk, given in self.inputs.items() if chunk < position}
        self._points = {at: point for at, point in self._points.items() if at <= position}
        self.noise = noise
        if not self._points:
            world, point = fork(world)
            self._keep(position, point)
        return world

    def __call__(self, index: int, chunk: ChunkInput, world: World) -> None:
        """Take note of a chunk that is begun, see `worldkv_jax.rollout.Watch`."""
        self.inputs[index] = chunk
        if (index + 1) % self._every == 0:
            self._keep(index + 1, snapshot(world))

    def done(self, index: int) -> None:
        """Do nothing: a point is kept when it is made."""

    def finish(self, world: World) -> None:
        """Do nothing: whoever rolls out has the world at the end."""

    def before(self, chunk: int) -> World:
        """Return the latest point at or before a chunk, as a fork.

        Raises:
            ValueError: there is none, the chunk is not made yet, or it is no whole number.
        """
        chunk = whole("chunk", chunk)
        at = max((at for at in self._points if at <= chunk), default=None)
        if at is None or chunk > self.end:
            known = f"it knows chunks {min(self._points)} to {self.end}" if self._points else "nothing was recorded"
            raise ValueError(f"the time line cannot go back to chunk {chunk}: {known}")
        point = self._points[at]
        return point.back() if isinstance(point, HeldWorld) else point

    def _keep(self, at: int, world: World) -> None:
        self._points[at] = HeldWorld(world) if self._tier == "host" else world
