"""The manifest of a world folder: whose world it is, what it was given, and the moments it can go on from."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from worldkv_jax.sessions.array_store import ArrayRef
from worldkv_jax.sessions.file_formats import check_format
from worldkv_jax.sessions.world_files import Files

FILE_NAME = "world.json"
_FORMAT = "worldkv-jax world"
_VERSION = 1
_MADE_WITH = ("jax", "platform", "device")

Named = dict[str, ArrayRef]
"""Arrays of a pytree by their paths."""


@dataclasses.dataclass(kw_only=True)
class Point:
    """A moment that a world can go on from."""

    state: Named
    """What a step consumes: window, index, carry, decoder, counters."""
    slots: list[int]
    """Chunk that each slot of the bank holds; -1 for none."""


@dataclasses.dataclass(kw_only=True)
class WorldManifest:
    """What a world folder says of itself; its arrays lie beside it."""

    identity: dict[str, Any]
    """What a session must have in common with it, see `worldkv_jax.sessions.identity`."""
    made_with: dict[str, str]
    """Versions and platform, which decide about the last bits."""
    key: dict[str, Any] | None
    """Random key of the noise; ``None`` where it is not known."""
    room: int | None = None
    """Length of the rollout that its memory was made for, where that was known."""
    parents: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    """Folders that it was branched from, the latest last, and at which chunk."""
    inputs: dict[int, Named] = dataclasses.field(default_factory=dict)
    """What each chunk was given."""
    answers: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    """What a live source answered, chunk by chunk from the first, see `worldkv_jax.sessions.Answers`."""
    stored: dict[int, list[Named]] = dataclasses.field(default_factory=dict)
    """Stored chunks, of each world of the batch."""
    points: dict[int, Point] = dataclasses.field(default_factory=dict)
    """By the number of chunks made."""

    @property
    def end(self) -> int:
        """Chunks made at the latest point; 0 where there is none yet."""
        return max(self.points, default=0)

    def refs(self) -> Iterator[ArrayRef]:
        """Name all arrays, some of them more than once."""
        for named in (*self.inputs.values(), *(point.state for point in self.points.values())):
            yield from named.values()
        for worlds in self.stored.values():
            for named in worlds:
                yield from named.values()

    def stored_at(self, point: int) -> dict[int, list[Named]]:
        """Return the stored chunks of a point by their slots, of each world of the batch."""
        slots = enumerate(self.points[point].slots)
        return {slot: self.stored[chunk] for slot, chunk in slots if chunk >= 0}

    def cut(self, chunk: int) -> "WorldManifest":
        """Return what it was when ``chunk`` chunks were made."""
        points = {at: point for at, point in self.points.items() if at <= chunk}
        return dataclasses.replace(
            self,
            inputs={at: given for at, given in self.inputs.items() if at < chunk},
            answers=self.answers[:chunk],
            stored={at: worlds for at, worlds in self.stored.items() if at < chunk},
            points=points,
        )

    def thinned(self, keep: set[int]) -> "WorldManifest":
        """Return it with these points alone, and the stored chunks that they name."""
        points = {at: point for at, point in self.points.items() if at in keep}
        named = {chunk for point in points.values() for chunk in point.slots}
        stored = {at: worlds for at, worlds in self.stored.items() if at in named}
        return dataclasses.replace(self, points=points, stored=stored)


def has_world(files: Files) -> bool:
    """Tell whether a folder holds a world."""
    try:
        files.read(FILE_NAME)
    except FileNotFoundError:
        return False
    return True


def read_manifest(files: Files) -> WorldManifest:
    """Read the manifest of a world folder.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is damaged, edited, something else, or of a newer format.
    """
    what = f"{FILE_NAME} of {files}"
    try:
        text = files.read(FILE_NAME).tobytes()
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(
            f"{files} holds no world: it has no {FILE_NAME}; `worldkv rollout --world` makes one"
        ) from None
    try:
        data = json.loads(text)
        found, version, digest = data.pop("format"), data.pop("version"), data.pop("sha256", None)
        checksum = _checksum(data)
    except (ValueError, LookupError, AttributeError, TypeError, RecursionError) as error:
        raise ValueError(f"{what} is damaged ({error}); take a copy of the world") from None
    check_format(what, found, version, expected=_FORMAT, newest=_VERSION)
    if digest != checksum:
        raise ValueError(f"{what} was changed: its checksum is another; take a copy of the world")
    try:
        manifest = WorldManifest(
            identity=dict(data["identity"]),
            made_with=dict(data["made_with"]),
            key=data["key"],
            room=data["room"],
            parents=list(data["parents"]),
            inputs={int(at): _read(named) for at, named in data["inputs"].items()},
            answers=list(data["answers"]),
            stored={int(at): [_read(named) for named in worlds] for at, worlds in data["stored"].items()},
            points={
                int(at): Point(state=_read(point["state"]), slots=[int(chunk) for chunk in point["slots"]])
                for at, point in data["points"].items()
            },
        )
        _check(manifest)
        return manifest
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{what} is damaged ({error!r}); take a copy of the world") from None


def _check(manifest: WorldManifest) -> None:
    """Raise LookupError, TypeError or ValueError where a part is not there that others name."""
    worlds, lacking = manifest.identity["worlds"], [name for name in _MADE_WITH if name not in manifest.made_with]
    named = {chunk for point in manifest.points.values() for chunk in point.slots if chunk >= 0}
    if type(worlds) is not int or not isinstance(manifest.identity["memory"]["mode"], str) or lacking:
        raise ValueError("it does not say whose world it is")
    if wrong := [chunk for chunk in named if len(manifest.stored[chunk]) != worlds]:
        raise ValueError(f"chunk {wrong[0]} is not stored for each of {worlds} worlds")


def write_manifest(files: Files, manifest: WorldManifest) -> None:
    """Put a manifest in the place of the one before, whole or not at all; its arrays have to be settled.

    Raises:
        OSError: the folder cannot be written to, or has no room.
        TypeError: answers that have no JSON form.
    """
    data = {
        "identity": manifest.identity,
        "made_with": manifest.made_with,
        "key": manifest.key,
        "room": manifest.room,
        "parents": manifest.parents,
        "inputs": {str(at): _write(named) for at, named in sorted(manifest.inputs.items())},
        "answers": manifest.answers,
        "stored": {str(at): [_write(named) for named in worlds] for at, worlds in sorted(manifest.stored.items())},
        "points": {
            str(at): {"state": _write(point.state), "slots": point.slots}
            for at, point in sorted(manifest.points.items())
        },
    }
    head = {"format": _FORMAT, "version": _VERSION, "sha256": _checksum(data)}
    files.replace(FILE_NAME, json.dumps(head | data).encode() + b"\n")


def _checksum(data: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True, allow_nan=False).encode()).hexdigest()


def _read(named: Mapping[str, Any]) -> Named:
    return {name: ArrayRef.from_json(ref) for name, ref in named.items()}


def _write(named: Named) -> dict[str, list[Any]]:
    return {name: ref.to_json() for name, ref in named.items()}
