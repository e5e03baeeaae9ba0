"""Fields of messages, checked one by one; what is wrong is said in a sentence."""

import base64
import binascii
import math
from typing import Any

from worldkv_jax.sessions.seeds import check_seed

MOST_TEXT = 4096


class Refused(ValueError):
    """A message that cannot be taken; the text says what to send instead."""


def optional(payload: Any, kind: str) -> dict:
    """Return the payload of an event as a map, empty where there is none."""
    if payload is None:
        return {}
    if not isinstance(payload, dict):
        raise Refused(f"the payload of {kind} is a map")
    return payload


def needed(payload: Any, kind: str, name: str) -> int:
    """Return a whole number that the payload of an event must have."""
    value = whole(optional(payload, kind), name, 0, 2**31)
    if value is None:
        raise Refused(f"{kind} needs {name}, a whole number")
    return value


def mapping(message: dict, name: str) -> dict:
    """Return a field that is a map, empty where there is none."""
    value = message.get(name)
    if value is not None and not isinstance(value, dict):
        raise Refused(f"{name} is {short(value)}; it must be a map")
    return value or {}


def whole(message: dict, name: str, least: int, most: int) -> int | None:
    """Return a field that is a whole number, if it is there."""
    value = message.get(name)
    if value is not None and not (is_whole(value) and least <= value <= most):
        raise Refused(f"{name} {short(value)} must be a whole number from {least} to {most}")
    return value


def number(message: dict, name: str, least: float, most: float) -> float | None:
    """Return a field that is a number, if it is there."""
    value = message.get(name)
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise Refused(f"{name} {short(value)} must be a number")
    if not least <= value <= most:
        raise Refused(f"{name} {value} must be from {least} to {most}")
    return float(value)


def flag(message: dict, name: str, default: bool) -> bool:
    """Return a field that is true or false."""
    value = message.get(name)
    if value is not None and not isinstance(value, bool):
        raise Refused(f"{name} {short(value)} must be true or false")
    return default if value is None else value


def text(message: dict, name: str) -> str | None:
    """Return a field that is a text, if it is there and not empty."""
    value = message.get(name)
    if value is not None and not (isinstance(value, str) and len(value) <= MOST_TEXT):
        raise Refused(f"{name} must be a text of at most {MOST_TEXT} characters")
    return value or None


def choice(message: dict, name: str, among: Any, default: str) -> str:
    """Return a field that is one of a few texts."""
    value = message.get(name)
    if value is not None and (not isinstance(value, str) or value not in among):
        raise Refused(f"{name} {short(value)} is none of {', '.join(among)}")
    return value or default


def seed(value: Any) -> int:
    """Return a seed."""
    if not is_whole(value):
        raise Refused(f"seed {short(value)} must be a whole number of 64 bits")
    try:
        return check_seed(value)
    except ValueError as error:
        raise Refused(str(error)) from None


def picture(value: Any) -> bytes | None:
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


def is_whole(value: Any) -> bool:
    """Tell whether a value is a whole number; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_name(value: Any) -> bool:
    """Tell whether a value is a short text."""
    return isinstance(value, str) and 0 < len(value) <= 40


def short(value: Any) -> str:
    """Return a value as errors show it."""
    return repr(value)[:40] if isinstance(value, str | int | float | bool | type(None)) else f"a {type(value).__name__}"
