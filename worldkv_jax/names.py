"""Nearest valid name for a mistyped one, so that every error can say what was meant."""

import difflib
from collections.abc import Iterable
from typing import TypeVar

Name = TypeVar("Name", bound=str)


def unknown_name(what: str, got: object, valid: Iterable[str]) -> ValueError:
    """Build the error for a name that is not among the valid ones.

    Args:
        what: kind of name, as the user knows it (``"mode"``, ``"retrieval rule"``).
        got: what was given.
        valid: the names that would have been accepted.

    Returns:
        A ``ValueError`` to raise, which names the nearest valid spelling where there is one.
    """
    valid = sorted(valid)
    by_lower = {name.lower(): name for name in valid}
    near = difflib.get_close_matches(str(got).lower(), by_lower, n=1, cutoff=0.5)
    hint = f"did you mean {by_lower[near[0]]!r}? " if near else ""
    return ValueError(f"unknown {what} {got!r}; {hint}valid: {', '.join(valid)}")


def check_name(what: str, got: object, valid: Iterable[Name]) -> Name:
    """Return the valid name that ``got`` is, else raise the error of `unknown_name`."""
    valid = tuple(valid)
    for name in valid:
        if name == got:
            return name
    raise unknown_name(what, got, valid)
