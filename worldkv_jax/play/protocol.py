"""What clients send, read and checked: MessagePack maps as SGLang's realtime clients have them, and our own kinds."""

import base64
import binascii
import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import msgpack

from worldkv_jax.play.keyboard import Transition
from worldkv_jax.sessions.seeds import check_seed

MOST_MESSAGE_BYTES = 12 * 1024**2
"""Of one message; a picture is the largest."""
MOST_TEXT = 4096
_MOST_KEYS = 16
_MOST_TRANSITIONS = 256
_MOST_ITEMS = 50_000
FORMATS = {"raw": "rgb24", "webp": "webp", "jpeg": "jpeg"}
"""Formats of frames, and what they are called in a batch of them."""


class Refused(ValueError):
    """A message that cannot be taken; the text says what to send instead."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Extension:
    """What a client of our own asks for besides."""

    memories: tuple[str, ...] = ("default",)
    idle: str = "pause"
    session: str | None = None
    replay: Mapping[str, Any] | None = None
    watch: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Init:
    """How a client wants to begin."""

    seed: int = 42
    max_chunks: int | None = None
    form: str = "webp"
    quality: int | None = None
    paced: bool = True
    fps: float | None = None
    actions: tuple[tuple[str, ...], ...] = ()
    prompt: str | None = None
    first_frame: bytes | None = None
    extension: Extension | None = None
    """``None`` for a client that speaks SGLang's messages alone."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Event:
    """Something that a client did."""

    kind: str
    payload: Any
    """A dict of checked values, or what the kind says."""
    number: int


def read(data: bytes) -> Init | list[Event]:
    """Read a message.

    Returns:
        An `Init`, or events: several where a composite was sent.

    Raises:
        Refused: it is malformed or unknown.
    """
    try:
        message = msgpack.unpackb(
            data,
            raw=False,
            strict_map_key=True,
            max_str_len=MOST_MESSAGE_BYTES,
            max_bin_len=MOST_MESSAGE_BYTES,
            max_array_len=_MOST_ITEMS,
            max_map_len=_MOST_ITEMS,
            max_ext_len=0,
        )
    except Exception as error:  # of a decoder that is fed arbitrary bytes
        raise Refused(f"the message is not MessagePack ({type(error).__name__}); send one map a message") from None
    if not isinstance(message, dict):
        raise Refused("the message is not a map; send one with a type, such as {type: 'init'}")
    kind = message.get("type")
    if kind == "init":
        return _read_init(message)
    if kind == "event":
        return _read_event(message)
    raise Refused(f"unknown type {_short(kind)}; send 'init' first, then 'event'")


def _read_init(message: dict) -> Init:
    conditions = _map(message, "condition_inputs")
    form = _choice(message, "realtime_output_format", FORMATS, "webp")
    given = {
        "seed": _seed(message.get("seed", 42)),
        "max_chunks": _whole(message, "max_chunks", 1, 10**9),
        "form": form,
        "quality": _whole(message, "output_compression", 1, 100),
        "paced": _flag(message, "realtime_output_pacing", True),
        "fps": _number(message, "fps", 1, 240),
        "actions": _script(conditions.get("camera_actions") or []),
        "prompt": _text(message, "prompt"),
        "first_frame": _picture(message.get("first_frame")),
    }
    if message.get("worldkv") is not None:
        asked = _map(message, "worldkv")
        memories = asked.get("memories", ["default"])
        if not isinstance(memories, list) or not 1 <= len(memories) <= 2 or not all(map(_is_name, memories)):
            raise Refused("worldkv.memories must be one or two names of memories, such as ['default', 'window']")
        replay = asked.get("replay")
        if replay is not None and not isinstance(replay, dict):
            raise Refused("worldkv.replay must be what a session file holds, a map")
        given["extension"] = Extension(
            memories=tuple(memories),
            idle=_choice(asked, "idle", ("pause", "go_on"), "pause"),
            session=_text(asked, "session"),
            replay=replay,
            watch=_flag(asked, "watch", False),
        )
    return Init(**given)


def _read_event(message: dict) -> list[Event]:
    number = message.get("event_id", 0)
    if not _is_whole(number) or not 0 <= number < 2**53:
        raise Refused(f"event_id {_short(number)} must be a whole number")
    kind, payload = message.get("kind"), message.get("payload")
    if kind == "composite_input":
        if not isinstance(payload, dict) or not isinstance(payload.get("input_types"), list):
            raise Refused("a composite_input has input_types, a list of kinds, and a payload for each of them")
        kinds = payload["input_types"][:8]
        return [_event(inner, payload.get(inner) if _is_name(inner) else None, number) for inner in kinds]
    return [_event(kind, payload, number)]


def _event(kind: Any, payload: Any, number: int) -> Event:
    if not isinstance(kind, str) or kind not in _KINDS:
        raise Refused(f"unknown kind {_short(kind)}; there are {', '.join(_KINDS)}")
    return Event(kind=kind, payload=_KINDS[kind](payload), number=number)


def _camera_actions(payload: Any) -> Any:
    """Return transitions of keys, or a script ``tuple[tuple[str, ...], ...]``."""
    if isinstance(payload, dict) and payload.get("mode") == "state":
        given = payload.get("transitions")
        if not isinstance(given, list) or not 1 <= len(given) <= _MOST_TRANSITIONS:
            raise Refused(f"camera_actions of mode 'state' have 1 to {_MOST_TRANSITIONS} transitions")
        transitions = []
        for one in given:
            if not isinstance(one, dict):
                raise Refused("a transition is a map: {actions: [key, ...], client_ts_ms}")
            time = _number(one, "client_ts_ms", 0, 2**53)
            transitions.append(Transition(frozenset(_keys(one.get("actions"))), 0.0 if time is None else time))
        return transitions
    return _script(payload)


def _script(payload: Any) -> tuple[tuple[str, ...], ...]:
    if not isinstance(payload, list):
        raise Refused("camera_actions are a list of lists of keys, one a frame, or a map with mode 'state'")
    return tuple(_keys(frame) for frame in payload)


def _keys(given: Any) -> tuple[str, ...]:
    if not isinstance(given, list) or len(given) > _MOST_KEYS or not all(map(_is_name, given)):
        raise Refused(f"keys are a list of at most {_MOST_KEYS} names, such as ['w', 'l']")
    return tuple(given)


def _nothing(payload: Any) -> None:
    return None


def _prompt(payload: Any) -> str:
    if not isinstance(payload, str) or not payload.strip() or len(payload) > MOST_TEXT:
        raise Refused(f"a prompt is a text of 1 to {MOST_TEXT} characters")
    return payload


def _fork(payload: Any) -> int | None:
    return _whole(_optional(payload, "fork"), "at", 0, 2**31)


def _switch(payload: Any) -> int:
    return _needed(payload, "switch", "branch")


def _rewind(payload: Any) -> int:
    return _needed(payload, "rewind", "chunk")


def _reset(payload: Any) -> int | None:
    asked = _optional(payload, "reset")
    return None if asked.get("seed") is None else _seed(asked["seed"])


def _memory(payload: Any) -> tuple[str, ...]:
    memories = _optional(payload, "memory").get("memories")
    if not isinstance(memories, list) or not 1 <= len(memories) <= 2 or not all(map(_is_name, memories)):
        raise Refused("memory needs memories: one or two names, such as ['default', 'window']")
    return tuple(memories)


def _look(payload: Any) -> tuple[float, float]:
    asked = _optional(payload, "look")
    right, up = (_number(asked, name, -720, 720) for name in ("dx", "dy"))
    return right or 0.0, up or 0.0


def _record(payload: Any) -> bool:
    return _flag(_optional(payload, "record"), "on", True)


def _name(payload: Any) -> str:
    name = _text(_optional(payload, "save"), "name") or "moment"
    if len(name) > 60 or not name.isprintable():
        raise Refused("a name has at most 60 printable characters")
    return name


_KINDS: Mapping[str, Any] = {
    "camera_actions": _camera_actions,
    "prompt": _prompt,
    "heartbeat": _nothing,
    "look": _look,
    "fork": _fork,
    "switch": _switch,
    "rewind": _rewind,
    "reset": _reset,
    "memory": _memory,
    "save": _name,
    "restore": _name,
    "session_file": _nothing,
    "record": _record,
}


def _optional(payload: Any, kind: str) -> dict:
    if payload is None:
        return {}
    if not isinstance(payload, dict):
        raise Refused(f"the payload of {kind} is a map")
    return payload


def _needed(payload: Any, kind: str, name: str) -> int:
    value = _whole(_optional(payload, kind), name, 0, 2**31)
    if value is None:
        raise Refused(f"{kind} needs {name}, a whole number")
    return value


def _map(message: dict, name: str) -> dict:
    value = message.get(name)
    if value is not None and not isinstance(value, dict):
        raise Refused(f"{name} is {_short(value)}; it must be a map")
    return value or {}


def _whole(message: dict, name: str, least: int, most: int) -> int | None:
    value = message.get(name)
    if value is not None and not (_is_whole(value) and least <= value <= most):
        raise Refused(f"{name} {_short(value)} must be a whole number from {least} to {most}")
    return value


def _number(message: dict, name: str, least: float, most: float) -> float | None:
    value = message.get(name)
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise Refused(f"{name} {_short(value)} must be a number")
    if not least <= value <= most:
        raise Refused(f"{name} {value} must be from {least} to {most}")
    return float(value)


def _flag(message: dict, name: str, default: bool) -> bool:
    value = message.get(name)
    if value is not None and not isinstance(value, bool):
        raise Refused(f"{name} {_short(value)} must be true or false")
    return default if value is None else value


def _text(message: dict, name: str) -> str | None:
    value = message.get(name)
    if value is not None and not (isinstance(value, str) and len(value) <= MOST_TEXT):
        raise Refused(f"{name} must be a text of at most {MOST_TEXT} characters")
    return value or None


def _choice(message: dict, name: str, among: Any, default: str) -> str:
    value = message.get(name)
    if value is not None and (not isinstance(value, str) or value not in among):
        raise Refused(f"{name} {_short(value)} is none of {', '.join(among)}")
    return value or default


def _seed(value: Any) -> int:
    if not _is_whole(value):
        raise Refused(f"seed {_short(value)} must be a whole number of 64 bits")
    try:
        return check_seed(value)
    except ValueError as error:
        raise Refused(str(error)) from None


def _picture(value: Any) -> bytes | None:
    """Return the bytes of a picture; a text is base64, with or without ``data:`` before it, and never a place."""
    if value is None or value == "" or value == b"":
        return None
    if isinstance(value, str):
        try:
            return base64.b64decode(value.rpartition("base64,")[2], validate=True)
        except (binascii.Error, ValueError):
            raise Refused("first_frame is a text that is not base64; send the picture's bytes, not its place") from None
    if not isinstance(value, bytes):
        raise Refused("first_frame must be the bytes of a picture")
    return value


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 40


def _short(value: Any) -> str:
    return repr(value)[:40] if isinstance(value, str | int | float | bool | type(None)) else f"a {type(value).__name__}"
