"""Saving a world as it grows: chunks and points are written beside the generation of what comes next."""

import dataclasses
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import jax

from worldkv_jax.memory import KVSpan
from worldkv_jax.rollout import ChunkInput, Noise, World
from worldkv_jax.sessions.answers import Answers
from worldkv_jax.sessions.identity import key_from_json, key_to_json
from worldkv_jax.sessions.world_folder import WorldFolder
from worldkv_jax.sessions.world_state import state_of
from worldkv_jax.whole_numbers import whole

CHUNKS_HELD = 4
"""Chunks that a saver holds at most: two that are begun, one that waits for the writer, one that is being written."""


@dataclasses.dataclass(kw_only=True)
class _Job:
    """What is to be written of one chunk, in arrays that no step consumes."""

    made: int
    """Chunks made with it."""
    given: dict[int, ChunkInput]
    stored: tuple[int | jax.Array, tuple[KVSpan, ...]] | None
    """Number and content of the chunk that was stored when it was made."""
    state: dict[str, Any] | None
    """What a point holds; ``None`` where none is due."""
    room: int | None


class WorldSaver:
    """Keeps a rollout in a world folder, see `Session.saving`.

    A chunk is written when whoever takes the chunks comes back for the next one, which is then being generated: what
    they did with it, such as writing a video, is then done as well. Where no room is left the rollout goes on and the
    saving stops.

    Attributes:
        folder: the world folder, opened for writing.
        failed: why the saving stopped; ``None`` while it goes on.
        waited: seconds that the rollout had to wait for the writer.
        wrote: seconds that the writer was at work.
    """

    def __init__(
        self,
        folder: WorldFolder,
        every: int,
        identify: Callable[[World], dict[str, Any]],
        answers: Answers | None,
        stopped: Callable[[OSError], object],
    ):
        if whole("every", every) < 1:
            raise ValueError(f"a point every {every} chunks: give at least 1")
        self.folder, self._every, self._identify, self._answers = folder, every, identify, answers
        self._stopped = stopped
        self.failed: OSError | None = None
        self.waited = self.wrote = 0.0
        self._saved = folder.manifest.end
        self._begun: list[_Job] = []
        self._jobs: queue.Queue[_Job | None] = queue.Queue(maxsize=1)
        self._defect: BaseException | None = None
        self._told = False
        self._thread = threading.Thread(target=self._work, name="world-saver", daemon=True)
        self._thread.start()

    @property
    def key(self) -> jax.Array | None:
        """Random key of the noise that made what is there."""
        return key_from_json(self.folder.manifest.key)

    def begin(self, world: World, noise: jax.Array | Noise) -> World:
        """Take the world that goes on, at the end of what the folder holds; return the one to go on with.

        Raises:
            ValueError: it does not follow what the folder holds.
        """
        position, end = int(world.position), self.folder.manifest.end
        self.folder.admit(self._identify(world), position, None if callable(noise) else key_to_json(noise))
        self._saved = position
        if position > end:
            try:
                self.folder.add_world(world)
            except OSError as error:
                self.failed = error
        return world

    def __call__(self, index: int, chunk: ChunkInput, world: World) -> None:
        """Take note of a chunk that is begun, see `worldkv_jax.rollout.Watch`.

        Raises:
            OSError: what the writer came upon, but for a folder that cannot be written to any more.
            ValueError: the world that goes on is another branch than the folder's.
        """
        self._meet_writer()
        if self.failed is None:
            bank = world.memory.bank
            self._begun.append(
                _Job(
                    made=index + 1,
                    given={index: chunk},
                    stored=None if bank is None else bank.newest(),
                    state=_kept(world) if (index + 1) % self._every == 0 else None,
                    room=world.memory.layout.chunks,
                )
            )

    def done(self, index: int) -> None:
        """Have written what is done with."""
        while self._begun and self._begun[0].made <= index + 1:
            self._put(self._begun.pop(0))

    def finish(self, world: World) -> None:
        """Have the point at the end of a rollout written."""
        position = int(world.position)
        self.done(position - 1)
        if position > self._saved:
            room = world.memory.layout.chunks
            self._put(_Job(made=position, given={}, stored=None, state=_kept(world), room=room))

    def close(self) -> None:
        """Wait until all is written.

        Raises:
            ValueError: the world that went on is another branch than the folder's.
        """
        self._jobs.put(None)
        self._thread.join()
        self._meet_writer()

    def _put(self, job: _Job) -> None:
        if job.state is not None:
            self._saved = job.made
        since = time.perf_counter()
        self._jobs.put(job)
        self.waited += time.perf_counter() - since

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            if self.failed is None and self._defect is None:
                since = time.perf_counter()
                try:
                    self._write(job)
                except OSError as error:
                    self.failed = error
                except BaseException as error:
                    self._defect = error
                self.wrote += time.perf_counter() - since
            del job

    def _write(self, job: _Job) -> None:
        for index, chunk in job.given.items():
            self.folder.add_inputs(index, chunk)
        if job.stored is not None:
            chunk, worlds = int(job.stored[0]), job.stored[1]
            if chunk >= 0 and chunk not in self.folder.manifest.stored:
                self.folder.add_chunk(chunk, worlds)
        if job.state is not None:
            if self._answers is not None:
                self.folder.manifest.answers = self._answers.given[: job.made]
            self.folder.add_point(job.state, room=job.room)

    def _meet_writer(self) -> None:
        """Raise what the writer came upon; say once that it had to stop, in the thread of whoever rolls out."""
        if self._defect is not None:
            raise self._defect
        if self.failed is not None and not self._told:
            self._told = True
            self._stopped(self.failed)


def _kept(world: World) -> dict[str, Any]:
    """Copy what a point holds, on the device and without waiting for it."""
    return jax.tree.map(lambda leaf: leaf.copy(), state_of(world))
