"""What clients send, read and checked: MessagePack maps as SGLang's realtime clients have them, and our own kinds."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import msgpack

from worldkv_jax.play import fields
from worldkv_jax.play.fields import MOST_TEXT, Refused
from worldkv_jax.play.keyboard import Transition

MOST_MESSAGE_BYTES = 12 * 1024**2
"""Of one message; a picture is the largest."""
_MOST_KEYS = 16
_MOST_TRANSITIONS = 256
_MOST_ITEMS = 50_000
FORMATS = {"raw": "rgb24", "webp": "webp", "jpeg": "jpeg"}
"""Formats of frames, and what they are called in a batch of them."""


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
        raise Refused(
            f"the message is not MessagePack, or has more than {_MOST_ITEMS:,} items in a list "
            f"({type(error).__name__}); send one map a message"
        ) from None
    if not isinstance(message, dict):
        raise Refused("the message is not a map; send one with a type, such as {type: 'init'}")
    kind = message.get("type")
    if kind == "init":
        return _read_init(message)
    if kind == "event":
        return _read_event(message)
    raise Refused(f"unknown type {fields.short(kind)}; send 'init' first, then 'event'")


def _read_init(message: dict) -> Init:
    conditions = fields.mapping(message, "condition_inputs")
    form = fields.choice(message, "realtime_output_format", FORMATS, "webp")
    given: dict[str, Any] = {
        "seed": fields.seed(message.get("seed", 42)),
        "max_chunks": fields.whole(message, "max_chunks", 1, 10**9),
        "form": form,
        "quality": fields.whole(message, "output_compression", 1, 100),
        "paced": fields.flag(message, "realtime_output_pacing", True),
        "fps": fields.number(message, "fps", 1, 240),
        "actions": _script(conditions.get("camera_actions") or []),
        "prompt": fields.text(message, "prompt"),
        "first_frame": fields.picture(message.get("first_frame")),
    }
    if message.get("worldkv") is not None:
        asked = fields.mapping(message, "worldkv")
        replay = asked.get("replay")
        if replay is not None and not isinstance(replay, dict):
            raise Refused("worldkv.replay must be what a session file holds, a map")
        given["extension"] = Extension(
            memories=_memories(asked.get("memories", ["default"])),
            idle=fields.choice(asked, "idle", ("pause", "go_on"), "pause"),
            session=fields.text(asked, "session"),
            replay=replay,
            watch=fields.flag(asked, "watch", False),
        )
    return Init(**given)


def _read_event(message: dict) -> list[Event]:
    number = message.get("event_id", 0)
    if not fields.is_whole(number) or not 0 <= number < 2**53:
        raise Refused(f"event_id {fields.short(number)} must be a whole number")
    kind, payload = message.get("kind"), message.get("payload")
    if kind == "composite_input":
        if not isinstance(payload, dict) or not isinstance(payload.get("input_types"), list):
            raise Refused("a composite_input has input_types, a list of kinds, and a payload for each of them")
        kinds = payload["input_types"][:8]
        return [_event(inner, payload.get(inner) if fields.is_name(inner) else None, number) for inner in kinds]
    return [_event(kind, payload, number)]


def _event(kind: Any, payload: Any, number: int) -> Event:
    if not isinstance(kind, str) or kind not in _KINDS:
        raise Refused(f"unknown kind {fields.short(kind)}; there are {', '.join(_KINDS)}")
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
            time = fields.number(one, "client_ts_ms", 0, 2**53)
            transitions.append(Transition(frozenset(_keys(one.get("actions"))), 0.0 if time is None else time))
        return transitions
    return _script(payload)


def _script(payload: Any) -> tuple[tuple[str, ...], ...]:
    if not isinstance(payload, list):
        raise Refused("camera_actions are a list of lists of keys, one a frame, or a map with mode 'state'")
    return tuple(_keys(frame) for frame in payload)


def _keys(given: Any) -> tuple[str, ...]:
    if not isinstance(given, list) or len(given) > _MOST_KEYS or not all(map(fields.is_name, given)):
        raise Refused(f"keys are a list of at most {_MOST_KEYS} names, such as ['w', 'l']")
    return tuple(given)


def _memories(given: Any) -> tuple[str, ...]:
    if not isinstance(given, list) or not 1 <= len(given) <= 2 or not all(map(fields.is_name, given)):
        raise Refused("memories must be one or two names of memories, such as ['default', 'window']")
    return tuple(given)


def _nothing(payload: Any) -> None:
    return None


def _prompt(payload: Any) -> str:
    if not isinstance(payload, str) or not payload.strip() or len(payload) > MOST_TEXT:
        raise Refused(f"a prompt is a text of 1 to {MOST_TEXT} characters")
    return payload


def _fork(payload: Any) -> int | None:
    return fields.whole(fields.optional(payload, "fork"), "at", 0, 2**31)


def _switch(payload: Any) -> int:
    return fields.needed(payload, "switch", "branch")


def _rewind(payload: Any) -> int:
    return fields.needed(payload, "rewind", "chunk")


def _reset(payload: Any) -> int | None:
    asked = fields.optional(payload, "reset")
    return None if asked.get("seed") is None else fields.seed(asked["seed"])


def _memory(payload: Any) -> tuple[str, ...]:
    return _memories(fields.optional(payload, "memory").get("memories"))


def _look(payload: Any) -> tuple[float, float]:
    asked = fields.optional(payload, "look")
    right, up = (fields.number(asked, name, -720, 720) for name in ("dx", "dy"))
    return right or 0.0, up or 0.0


def _record(payload: Any) -> bool:
    return fields.flag(fields.optional(payload, "record"), "on", True)


def _name(payload: Any) -> str:
    name = fields.text(fields.optional(payload, "save"), "name") or "moment"
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
