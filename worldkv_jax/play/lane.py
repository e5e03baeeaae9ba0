"""A lane: one played world under one memory, taken a chunk further at a time."""

from collections.abc import Iterator

import jax

from worldkv_jax.rollout import Chunk, ChunkInput, Noise, World, snapshot
from worldkv_jax.sessions import Session


class Lane:
    """One world that goes on; its latest state can be copied between two chunks.

    It is the `Keeper` of its own stream, which tells it the world after each chunk. The stream stays open from one
    chunk to the next, so that a bank in host memory is read ahead.
    """

    def __init__(self, name: str, session: Session, world: World, key: jax.Array):
        self.name, self.session = name, session
        self.key: jax.Array | None = key
        self._given: ChunkInput | None = None
        self.world = world
        self._chunks = session.stream(world, self._inputs(), key=key, keeper=self)

    def step(self, given: ChunkInput) -> Chunk:
        """Generate a chunk.

        Raises:
            ValueError: the memory has no room for it.
        """
        self._given = given
        return next(self._chunks)

    def copy(self) -> World:
        """Copy the world as it is, to go on from another time."""
        return snapshot(self.world)

    def close(self) -> None:
        """Let go of the world."""
        self._chunks.close()

    def begin(self, world: World, noise: jax.Array | Noise) -> World:
        """Take the world that goes on; of the protocol `Keeper`."""
        return world

    def __call__(self, index: int, chunk: ChunkInput, world: World) -> None:
        """Take the world after a chunk that is begun; of the protocol `Keeper`."""
        self.world = world

    def done(self, index: int) -> None:
        """Do nothing; of the protocol `Keeper`."""

    def finish(self, world: World) -> None:
        """Do nothing; of the protocol `Keeper`."""

    def _inputs(self) -> Iterator[ChunkInput]:
        while True:
            assert self._given is not None, "a step gives what it generates from"
            yield self._given
