"""Saving a world as it grows: points are written beside the generation of what comes next."""

import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import jax

from worldkv_jax.rollout import ChunkInput, Noise, World, snapshot
from worldkv_jax.sessions.identity import key_from_json, key_to_json
from worldkv_jax.sessions.world_folder import WorldFolder


class WorldSaver:
    """Keeps a rollout in a world folder, see `Session.saving`.

    A point is written when whoever takes the chunks comes back for the next one: what it did with them, such as writing
    a video, is then done as well. Where no room is left the rollout goes on and the saving stops.

    Attributes:
        folder: the world folder, opened for writing.
        failed: why the saving stopped; ``None`` while it goes on.
        waited: seconds that the rollout had to wait for the writer.
        wrote: seconds that the writer was at work.
    """

    def __init__(self, folder: WorldFolder, every: int, identify: Callable[[World], dict[str, Any]]):
        if every < 1:
            raise ValueError(f"a point every {every} chunks: give at least 1")
        self.folder, self._every, self._identify = folder, every, identify
        self.failed: OSError | None = None
        self.waited = self.wrote = 0.0
        self._saved = folder.manifest.end
        self._given: list[tuple[int, ChunkInput]] = []
        self._ready: list[tuple[int, World]] = []
        # One point waits at most: each holds a window on the device.
        self._jobs: queue.Queue = queue.Queue(maxsize=1)
        self._defect: BaseException | None = None
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
        position, manifest = int(world.position), self.folder.manifest
        self.folder.admit(self._identify(world), position, None if callable(noise) else key_to_json(noise))
        self._saved = position
        if position > manifest.end:
            self._put([], snapshot(world), trusting=False)
        return world

    def __call__(self, index: int, chunk: ChunkInput, world: World) -> None:
        """Take note of a chunk that is begun, see `worldkv_jax.rollout.Watch`.

        Raises:
            ValueError: the world that goes on is another branch than the folder's.
        """
        if self._defect is not None:
            raise self._defect
        if self.failed is not None:
            return
        self._given.append((index, chunk))
        if (index + 1) % self._every == 0:
            self._ready.append((index + 1, snapshot(world)))

    def done(self, index: int) -> None:
        """Write the point after a chunk that is done with, if there is one."""
        while self._ready and self._ready[0][0] <= index + 1:
            position, world = self._ready.pop(0)
            self._write(position, world)

    def finish(self, world: World) -> None:
        """Write the point at the end of a rollout."""
        position = int(world.position)
        if position > self._saved:
            self._write(position, snapshot(world))

    def close(self) -> None:
        """Wait until all is written.

        Raises:
            ValueError: the world that went on is another branch than the folder's.
        """
        self._jobs.put(None)
        self._thread.join()
        if self._defect is not None:
            raise self._defect

    def _write(self, position: int, world: World) -> None:
        given = [pair for pair in self._given if pair[0] < position]
        self._given = [pair for pair in self._given if pair[0] >= position]
        self._saved = position
        self._put(given, world)

    def _put(self, given: list[tuple[int, ChunkInput]], world: World, *, trusting: bool = True) -> None:
        since = time.perf_counter()
        self._jobs.put((given, world, trusting))
        self.waited += time.perf_counter() - since

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            if self.failed is None and self._defect is None:
                since = time.perf_counter()
                try:
                    self._save(*job)
                except OSError as error:
                    self.failed = error
                except BaseException as error:
                    self._defect = error
                self.wrote += time.perf_counter() - since
            del job

    def _save(self, given: list[tuple[int, ChunkInput]], world: World, trusting: bool) -> None:
        for index, chunk in given:
            self.folder.add_inputs(index, chunk)
        self.folder.add_point(world, trusting=trusting)
