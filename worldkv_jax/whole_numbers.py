"""Whole numbers in configurations: counts of frames, chunks and heads, checked where they are given."""

import operator
from typing import Any


def whole(name: str, got: Any) -> int:
    """Return a whole number as Python's own, whoever's type it was.

    Raises:
        ValueError: it is something else, such as ``2.0``, ``"2"`` or ``True``; the text names the field.
    """
    try:
        if isinstance(got, bool):
            raise TypeError
        return operator.index(got)
    except TypeError:
        raise ValueError(f"{name}={got!r} is no whole number") from None


def make_whole(config: Any, *names: str, prefix: str = "") -> None:
    """Check fields of a frozen dataclass, of those that are not ``None``, and write them back as `whole` returns them.

    Raises:
        ValueError: one of them is no whole number.
    """
    for name in names:
        got = getattr(config, name)
        if got is not None:
            object.__setattr__(config, name, whole(prefix + name, got))
