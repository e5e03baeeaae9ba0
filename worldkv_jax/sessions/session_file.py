"""Session files: what made a world, in one small JSON that can be shared and replayed."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from worldkv_jax.readers import read_json
from worldkv_jax.sessions.file_formats import PLAYED_FORMAT, ROLLOUT_FORMAT, check_format
from worldkv_jax.sessions.memory_options import MemoryOptions
from worldkv_jax.sessions.model_options import ModelOptions
from worldkv_jax.sessions.options import field_types
from worldkv_jax.sessions.registry import model_options
from worldkv_jax.sessions.results import write_json

_VERSION = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class SessionFile:
    """What made a world, and how to tell whether it was made again."""

    model: str
    options: dict[str, Any]
    """Options of the model that are not its defaults."""
    memory: dict[str, Any]
    """Changes to the model's own memory, see `MemoryOptions`."""
    seed: int
    made_with: dict[str, str]
    """Versions and platform, which decide about the last bits."""
    weights: str
    """Checksum of the weights, see `worldkv_jax.sessions.identity.fingerprint`."""
    latents: tuple[str, ...]
    """Checksum of every chunk's latents."""
    answers: tuple[dict[str, Any], ...] | None = None
    """What a live source answered, see `worldkv_jax.sessions.Answers`; ``None`` where the options say all."""

    def asked(self) -> ModelOptions:
        """Return the options that open the model.

        Raises:
            ValueError: no such model, or options that it does not have.
        """
        return _made_of(model_options(self.model), self.options, self.model)

    def asked_memory(self) -> MemoryOptions:
        """Return the changes to the model's own memory.

        Raises:
            ValueError: options that no memory has.
        """
        return _made_of(MemoryOptions, self.memory, "the memory")

    def source(self) -> Callable[[int], Any] | None:
        """Return who answers as the live source did; ``None`` where none was asked."""
        if self.answers is None:
            return None
        given = [answer["given"] for answer in self.answers]
        return lambda chunk: given[chunk] if chunk < len(given) else None

    def first_difference(self, latents: list[str]) -> int | None:
        """Return the first chunk whose latents are other ones, or that is missing; ``None`` for the same world."""
        longest = max(len(self.latents), len(latents))
        ours, theirs = ([*sums, *[None] * (longest - len(sums))] for sums in (latents, self.latents))
        return next((chunk for chunk, (a, b) in enumerate(zip(ours, theirs)) if a != b), None)


def _made_of(cls: Any, options: dict[str, Any], what: str) -> Any:
    """Make an options dataclass of JSON."""
    types, given = field_types(cls), {}
    for name, value in options.items():
        if name not in types:
            raise ValueError(f"{what} has no option {name!r}: the session was made by another version")
        inner = isinstance(value, dict) and dataclasses.is_dataclass(types[name].of)
        whole = _made_of(types[name].of, value, what) if inner else value
        given[name] = tuple(whole) if isinstance(whole, list) else whole
    return cls(**given)


def options_given(options: Any) -> dict[str, Any]:
    """Return the fields of an options dataclass that are not its defaults."""
    fields = {field.name: field.default for field in dataclasses.fields(options)}
    given = {name: getattr(options, name) for name in fields}
    return {
        name: dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else value
        for name, value in given.items()
        if value != fields[name]
    }


def write_session(path: str | os.PathLike[str], session: SessionFile) -> Path:
    """Write a session file, whole or not at all.

    Raises:
        TypeError: an answer that has no JSON form.
        OSError: the folder cannot be written to.
    """
    return write_json(path, {"format": ROLLOUT_FORMAT, "version": _VERSION, **dataclasses.asdict(session)})


def read_session(path: str | os.PathLike[str]) -> SessionFile:
    """Read a session file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is damaged, something else, or of a newer format.
    """
    try:
        data = read_json(path)
        found, version = data.pop("format"), data.pop("version")
    except (ValueError, LookupError, AttributeError, TypeError) as error:
        why = f"it has no {error}" if isinstance(error, KeyError) else error
        raise ValueError(f"{path} is no session file ({why}); `worldkv rollout --session` writes one") from None
    if found == PLAYED_FORMAT:
        raise ValueError(f"{path} was saved by the page of `worldkv play`; open it there: Share, Open a session file")
    check_format(path, found, version, expected=ROLLOUT_FORMAT, newest=_VERSION)
    try:
        answers = data.pop("answers")
        data["latents"] = tuple(data["latents"])
        return SessionFile(**data, answers=None if answers is None else tuple(answers))
    except (LookupError, TypeError) as error:
        why = f"it has no {error}" if isinstance(error, KeyError) else error
        raise ValueError(f"{path} is damaged ({why})") from None
