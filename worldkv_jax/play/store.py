"""Played worlds on disk: a journal of what was done, and the latest point to go on from."""

import base64
import contextlib
import hashlib
import json
import os
import re
import shutil
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from worldkv_jax.files import make_folder, replacing
from worldkv_jax.play.game import Game
from worldkv_jax.play.history import Tree
from worldkv_jax.play.player import Player
from worldkv_jax.play.points import Moment
from worldkv_jax.rollout import World, fork
from worldkv_jax.sessions.identity import key_to_json
from worldkv_jax.sessions.seeds import key_of
from worldkv_jax.sessions.steering import Controls
from worldkv_jax.sessions.world_folder import WorldFolder, empty_manifest, writing
from worldkv_jax.sessions.world_manifest import write_manifest
from worldkv_jax.sessions.world_state import restore, state_of

_FORMAT, _VERSION = "worldkv-jax played world", 1
_HEADER, _JOURNAL, _PICTURE = "session.json", "journal.jsonl", "picture"
_OURS_LENGTH = 40
_OURS = re.compile(rf"[0-9a-f]{{{_OURS_LENGTH}}}")
"""Names of folders that are made here: the folder around them may hold others of its owner."""


class Shown(NamedTuple):
    """What is kept of a chunk to look back at."""

    camera: list[float]
    """x, z, and its heading in degrees."""
    thumbnail: bytes
    latents: str
    """Checksum of the first lane's."""
    lanes: list[dict[str, Any]]
    """Memory, picks and PSNR of each lane."""


class Found(NamedTuple):
    """A played world that was read: what was done, and what was shown."""

    tree: Tree
    shown: dict[str, Shown]
    picture: bytes | None
    """That it begins with."""
    point: tuple[int, str, str] | None
    """The latest point of the current branch: at how many chunks, its mark, and its folder."""


class PointToKeep(NamedTuple):
    """A moment that is to be written."""

    seed: int
    memories: tuple[str, ...]
    chunks: int
    """Of the point, from the world's beginning."""
    marks: list[str]
    """Of its history, from the beginning to the point."""
    worlds: Sequence[Any]
    """Of each lane, as copies."""

    @classmethod
    def of(cls, tree: Tree, chunks: int, moment: Moment) -> "PointToKeep":
        """Note a point of the current branch, by value: the tree may be another one before it is written."""
        return cls(tree.seed, tree.memories, chunks, tree.history.marks[: chunks + 1], moment.worlds)


class Shelf:
    """All played worlds that are kept in a folder. Names of sessions become checksums before they name a file."""

    def __init__(self, folder: str | os.PathLike, game: Game):
        self._folder, self._game = make_folder(folder), game

    def new(self, name: str, tree: Tree, picture: bytes | None = None) -> "Book":
        """Begin to keep a world.

        Raises:
            OSError: the folder cannot be written to.
        """
        folder = make_folder(self._place(name))
        os.chmod(folder, 0o700)  # its own alone: whose the folder around it is, is not known
        header = {"format": _FORMAT, "version": _VERSION, "identity": self._game.identity}
        with replacing(folder / _HEADER) as draft:
            draft.write_text(json.dumps(header), encoding="utf-8")
        (folder / _JOURNAL).unlink(missing_ok=True)
        if picture is not None:
            (folder / _PICTURE).write_bytes(picture)
        book = Book(folder, self._game)
        book.write(["begin", tree.seed, list(tree.memories), tree.picture])
        return book

    def find(self, name: str) -> "Book | None":
        """Return a world that is kept; ``None`` if there is none of this name."""
        folder = self._place(name)
        return Book(folder, self._game) if (folder / _HEADER).is_file() else None

    def remove(self, name: str) -> None:
        """Forget a world."""
        shutil.rmtree(self._place(name), ignore_errors=True)

    def sweep(self, days: float) -> int:
        """Forget worlds that nobody came back to for so long; return how many."""
        since = time.time() - days * 86400
        journals = [path for path in self._folder.glob(f"*/{_JOURNAL}") if _OURS.fullmatch(path.parent.name)]
        old = [path.parent for path in journals if path.stat().st_mtime < since]
        for folder in old:
            shutil.rmtree(folder, ignore_errors=True)
        return len(old)

    def _place(self, name: str) -> Path:
        return self._folder / hashlib.sha256(name.encode()).hexdigest()[:_OURS_LENGTH]


class Book:
    """One played world that is kept: written by one process at a time, read after it was killed."""

    def __init__(self, folder: Path, game: Game):
        self._folder, self._game = folder, game
        self._journal = None
        self._one_at_a_time = threading.Lock()
        self._points: tuple[str, list[str]] | None = None  # folder of points, and the marks that lead to its latest

    def write(self, change: Sequence[Any]) -> None:
        """Add a line; it is there even if the process is killed right after.

        Raises:
            OSError: there is no room.
        """
        line = json.dumps(change, separators=(",", ":")) + "\n"
        with self._one_at_a_time:  # the play writes what is done, and the saver beside it where its points are
            if self._journal is None:
                self._journal = open(self._folder / _JOURNAL, "a", encoding="utf-8")  # noqa: SIM115 (closed by `close`)
            self._journal.write(line)
            self._journal.flush()

    def write_shown(self, mark: str, shown: Shown) -> None:
        """Add what is kept of a chunk."""
        thumbnail = base64.b64encode(shown.thumbnail).decode()
        self.write(["shown", mark, shown.camera, thumbnail, shown.latents, shown.lanes])

    def close(self) -> None:
        """Let go of the file."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def read(self) -> Found:
        """Read everything but points; a line that was cut short is left out, with all after it.

        Raises:
            OSError: it cannot be read.
            ValueError: it is damaged, or a world of something else.
        """
        header = json.loads((self._folder / _HEADER).read_text(encoding="utf-8"))
        if header.get("format") != _FORMAT or header.get("version") != _VERSION:
            raise ValueError("this session was kept by another version, which cannot be read")
        if header.get("identity") != self._game.identity:
            raise ValueError("this session was played with another model, other weights or another memory")
        tree, shown, points = None, {}, []
        whole = 0
        with open(self._folder / _JOURNAL, "rb") as lines:
            for line in lines:
                try:
                    change = json.loads(line)
                    if not line.endswith(b"\n"):
                        break
                except ValueError:
                    break
                whole += len(line)
                match change:
                    case ["begin", seed, memories, picture]:
                        tree = Tree(seed, memories, picture)
                    case ["shown", mark, camera, thumbnail, latents, lanes]:
                        shown[mark] = Shown(camera, base64.b64decode(thumbnail), latents, lanes)
                    case ["point", chunks, mark, folder]:
                        points.append((chunks, mark, folder))
                    case _:
                        if tree is not None:
                            tree.apply(change)
        if tree is None:
            raise ValueError("this session is damaged: it has no beginning")
        with open(self._folder / _JOURNAL, "rb+") as journal:
            journal.truncate(whole)
        marks = tree.history.marks
        fitting = [point for point in points if point[0] < len(marks) and marks[point[0]] == point[1]]
        known = tree.marks()
        shown = {mark: one for mark, one in shown.items() if mark in known}
        picture = None if tree.picture is None else (self._folder / _PICTURE).read_bytes()
        return Found(tree, shown, picture, fitting[-1] if fitting else None)

    def save_point(self, point: PointToKeep) -> None:
        """Write the worlds of a point; those before it are forgotten. Runs beside the play.

        Raises:
            OSError: there is no room; the point before is still there.
        """
        seed, memories, chunks, marks, worlds = point
        name, points = f"points-{marks[-1]}", self._points
        if points is not None and marks[: len(points[1])] == points[1]:
            name = points[0]
        else:
            shutil.rmtree(self._folder / name, ignore_errors=True)
        position = int(worlds[0].position)
        for lane, (memory, world) in enumerate(zip(memories, worlds, strict=True)):
            with self._writing(name, lane) as folder:
                folder.admit(self._game.identities[memory], position, key_to_json(key_of(seed)))
                _add(folder, world)
        self.write(["point", chunks, marks[-1], name])
        self._points = name, list(marks)
        for lane in range(len(worlds)):
            self._keep_only(name, lane, position)
        for other in self._folder.glob("points-*"):
            if other.name != name:
                shutil.rmtree(other, ignore_errors=True)

    def load_point(self, player: Player, point: tuple[int, str, str]) -> Moment:
        """Read a point of a player's current branch.

        Raises:
            OSError: something is missing.
            ValueError: damage, or a world of something else.
        """
        chunks, _, name = point
        name = Path(name).name
        steering, tree, beginning = self._game.steering, player.tree, player.beginning
        state, position = beginning.state, len(beginning.inputs) + chunks
        example = steering.steer(state, Controls(((),) * steering.frames_of(0)))[1]
        for controls in tree.history.controls[:chunks]:
            state, _ = steering.steer(state, controls)
        worlds = []
        for lane, memory in enumerate(tree.memories):
            session = self._game.sessions[memory]
            self._keep_only(name, lane, position)
            folder = WorldFolder(self._folder / name / str(lane))
            manifest = folder.manifest
            worlds.append(
                restore(
                    session.backbone,
                    session.params,
                    session.start(worlds=1, chunks=self._game.rooms[memory]),
                    manifest.points[position].state,
                    manifest.stored_at(position),
                    folder.store.get,
                    example=lambda: example,
                    decode=True,
                )
            )
        self._points = name, tree.history.marks[: chunks + 1]
        return Moment(tuple(fork(world, 1)[0] for world in worlds), state)

    def _writing(self, name: str, lane: int) -> contextlib.AbstractContextManager[WorldFolder]:
        return writing(self._folder / name / str(lane), empty_manifest())

    def _keep_only(self, name: str, lane: int, position: int) -> None:
        """Forget all of a lane but one point, also what was begun after it when the process was killed."""
        with self._writing(name, lane) as folder:
            if position not in folder.manifest.points:
                raise ValueError(f"the point at chunk {position} is not there")
            folder.manifest = folder.manifest.thinned({position})
            write_manifest(folder.files, folder.manifest)
            folder.store.sweep(folder.manifest.refs())


def _add(folder: WorldFolder, world: World) -> None:
    """Write what is new of a world that is known to go on with what is there."""
    bank = world.memory.bank
    if bank is not None:
        for slot, chunk in enumerate(np.asarray(bank.index.chunks).tolist()):
            if chunk >= 0 and chunk not in folder.manifest.stored:
                folder.add_chunk(chunk, bank.read(slot))
    folder.add_point(state_of(world), room=world.memory.layout.chunks)


def default_folder(model: str) -> Path:
    """Return this program's folder among the user's states.

    Raises:
        RuntimeError: the user has no home.
    """
    home = os.environ.get("XDG_STATE_HOME")
    return (Path(home) if home else Path.home() / ".local" / "state") / "worldkv-jax" / "play" / model
