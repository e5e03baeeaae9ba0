"""A world on disk: points are added, each whole or not at all, and arrays are written once."""

import contextlib
import os
from collections.abc import Generator, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from worldkv_jax.memory import KVSpan
from worldkv_jax.rollout import ChunkInput, World
from worldkv_jax.sessions.array_store import ArrayRef, ArrayStore, describe_array
from worldkv_jax.sessions.identity import check_identity, key_from_json, key_to_json, made_with
from worldkv_jax.sessions.seeds import key_of, seed_of
from worldkv_jax.sessions.world_files import Files, open_files
from worldkv_jax.sessions.world_manifest import (
    Named,
    Point,
    WorldManifest,
    has_world,
    read_manifest,
    write_manifest,
)
from worldkv_jax.sessions.world_state import named, state_of


class WorldFolder:
    """A world folder; `writing` opens it to add to it.

    Attributes:
        files: where it is.
        manifest: what it holds.
        store: its arrays.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        files: Files | None = None,
        manifest: WorldManifest | None = None,
    ):
        """Open a folder to read it.

        Args:
            path: a folder, or a URL, see `worldkv_jax.sessions.world_files.open_files`.
            files: its files, where they are open already.
            manifest: what it holds, where that is known; else it is read.

        Raises:
            FileNotFoundError: there is no world.
            ValueError: it is damaged, edited, something else, or of a newer format.
        """
        self.files = open_files(path) if files is None else files
        self.manifest = read_manifest(self.files) if manifest is None else manifest
        self.store = ArrayStore(self.files)

    def key_of_seed(self, seed: int | None) -> jax.Array:
        """Return the random key that the world goes on with: its own, which a seed that is given has to be.

        Raises:
            ValueError: another seed, or a world whose noise was given.
        """
        manifest = self.manifest
        key = key_from_json(manifest.key)
        if key is None:
            raise ValueError(f"{self.files} was made with noise that was given, so that no seed goes on with it")
        if seed is not None and key_to_json(key_of(seed)) != manifest.key:
            raise ValueError(f"{self.files} was made with seed {seed_of(key)}, got {seed}: leave the seed out")
        return key

    def add_inputs(self, chunk: int, given: ChunkInput) -> None:
        """Write what a chunk is given; it is part of the world from the next point on.

        Raises:
            OSError: there is no room, or the folder cannot be written to.
        """
        self.manifest.inputs[chunk] = self._put(named(given))

    def add_chunk(self, chunk: int, worlds: tuple[KVSpan, ...]) -> None:
        """Write a stored chunk; it is part of the world from the next point on.

        Raises:
            OSError: there is no room, or the folder cannot be written to.
            ValueError: another one was stored under its number: the world is another branch.
        """
        written = [self._put(named(span)) for span in worlds]
        if self.manifest.stored.setdefault(chunk, written) != written:
            raise ValueError(
                f"chunk {chunk} in {self.files} is another one: the world is another branch; save it to another folder"
            )

    def admit(self, identity: dict[str, Any], position: int, key: dict[str, Any] | None) -> None:
        """Check that a world goes on with this one, or begin with it.

        Args:
            identity: of `worldkv_jax.sessions.identity.world_identity`.
            position: chunks made.
            key: of `key_to_json`; ``None`` where it is not known.

        Raises:
            ValueError: it is another world; with what differs.
        """
        manifest = self.manifest
        if not manifest.identity:
            manifest.identity, manifest.key = identity, key
            return
        check_identity(manifest.identity, identity, what=str(self.files))
        if position < manifest.end:
            raise ValueError(
                f"{self.files} ends at chunk {manifest.end}, and the world is at chunk {position}, where it would be "
                "another branch: save it to another folder"
            )
        if key is not None and key != manifest.key:
            raise ValueError(f"{self.files} was made with key {manifest.key}, got {key}: give the same seed")

    def add_point(self, state: Mapping[str, jax.Array], *, room: int | None) -> None:
        """Write a moment to go on from, whose stored chunks are written; it and what was added before is then kept.

        Args:
            state: of `worldkv_jax.sessions.world_state.state_of`.
            room: length of the rollout that the memory was made for.

        Raises:
            OSError: there is no room, or the folder cannot be written to; it is as it was before.
        """
        manifest = self.manifest
        slots = np.asarray(state["index/chunks"]).tolist() if "index/chunks" in state else []
        manifest.room = room
        manifest.points[int(state["position"])] = Point(state=self._put(state), slots=slots)
        self.files.settle()
        write_manifest(self.files, manifest)

    def add_world(self, world: World) -> None:
        """Write a whole world: stored chunks that are not there, then its moment.

        Raises:
            OSError: there is no room, or the folder cannot be written to; it is as it was before.
            ValueError: its past is another one.
        """
        bank = world.memory.bank
        if bank is not None:
            for slot, chunk in enumerate(np.asarray(bank.index.chunks).tolist()):
                if chunk >= 0:
                    self.add_chunk(chunk, bank.read(slot))
        self.add_point(state_of(world), room=world.memory.layout.chunks)

    def point_before(self, chunk: int) -> int | None:
        """Return the latest point at or before a chunk; ``None`` if there is none."""
        return max((at for at in self.manifest.points if at <= chunk), default=None)

    def first_difference(self, inputs: list[ChunkInput]) -> tuple[int, str] | None:
        """Return the first chunk that was given something else, and what; ``None`` if none was."""
        for chunk, given in enumerate(inputs):
            recorded = self.manifest.inputs.get(chunk)
            if recorded is None:
                continue
            here = {name: describe_array(leaf) for name, leaf in named(given).items()}
            for name in {**recorded, **here}:
                if recorded.get(name) != here.get(name):
                    return chunk, name
        return None

    def cameras(self, world: int = 0) -> np.ndarray:
        """Return the recorded camera path of one world of the batch, ``[n, 4, 4]`` camera-to-world poses.

        Raises:
            ValueError: no cameras were recorded.
        """
        given = [refs["cameras"] for _, refs in sorted(self.manifest.inputs.items())]
        if not given:
            raise ValueError(f"{self.files} does not say what its chunks were given, so there are no cameras")
        return np.concatenate([self.store.get(ref)[world] for ref in given])

    def verify(self) -> int:
        """Read everything, and compare checksums; return how many arrays there are.

        Raises:
            OSError: an array is missing.
            ValueError: an array is not what was written.
        """
        refs = set(self.manifest.refs())
        for ref in refs:
            self.store.get(ref)
        return len(refs)

    def bytes_by_part(self) -> dict[str, int]:
        """Count bytes on disk; arrays that several parts name count in the first of them."""
        manifest, seen = self.manifest, set()

        def count(refs: Iterator[ArrayRef]) -> int:
            fresh = set(refs) - seen
            seen.update(fresh)
            return sum(ref.nbytes for ref in fresh)

        spans = (span for worlds in manifest.stored.values() for span in worlds)
        return {
            "stored chunks": count(ref for span in spans for ref in span.values()),
            "points": count(ref for point in manifest.points.values() for ref in point.state.values()),
            "inputs": count(ref for given in manifest.inputs.values() for ref in given.values()),
        }

    def _put(self, leaves: Mapping[str, Any]) -> Named:
        return {name: self.store.put(leaf) for name, leaf in leaves.items()}


def empty_manifest() -> WorldManifest:
    """Return what the folder of a new world begins with, see `writing`."""
    return WorldManifest(identity={}, made_with=made_with(), key=None)


@contextlib.contextmanager
def writing(path: str | os.PathLike[str], new: WorldManifest | None = None) -> Generator[WorldFolder]:
    """Open a world folder alone, to add to it.

    Args:
        path: the folder.
        new: what to begin with where there is no world yet.

    Raises:
        FileNotFoundError: there is no world, and nothing to begin with.
        OSError: the folder cannot be written to.
        ValueError: another process writes to it, or what is there is no world.
    """
    files = open_files(path)
    if new is None:
        read_manifest(files)  # says what is missing
    with files.alone():
        yield WorldFolder(path, files=files, manifest=None if has_world(files) else new)


def branch(source: str | os.PathLike[str], target: str | os.PathLike[str], chunk: int | None = None) -> WorldFolder:
    """Make a world folder of another one's past; files are shared where the file system can.

    Args:
        source: a world folder.
        target: a new folder.
        chunk: how many chunks of it; by default all up to the latest point.

    Raises:
        OSError: an array is missing, or the target cannot be written to.
        ValueError: the target holds a world, or the source has nothing that early.
    """
    old, files = WorldFolder(source), open_files(target)
    chunk = old.manifest.end if chunk is None else chunk
    if has_world(files):
        raise ValueError(f"{target} holds a world already; name a new folder")
    manifest = old.manifest.cut(chunk)
    manifest.parents = [*manifest.parents, {"folder": old.files.place, "chunk": chunk}]
    with writing(target, manifest) as folder:
        for ref in set(manifest.refs()):
            old.store.share(ref, folder.store)
        folder.files.settle()
        write_manifest(folder.files, manifest)
    return folder


def prune(path: str | os.PathLike[str], *, every: int | None = None) -> int:
    """Remove what no point needs; return the bytes that are free again, as far as that is known.

    Args:
        path: a world folder.
        every: also drop points, all but the latest and those at multiples of so many chunks.
    """
    with writing(path) as folder:
        manifest = folder.manifest
        keep = set(manifest.points) if every is None else {at for at in manifest.points if at % every == 0}
        folder.manifest = manifest.thinned(keep | {manifest.end})
        write_manifest(folder.files, folder.manifest)
        return folder.store.sweep(folder.manifest.refs())
