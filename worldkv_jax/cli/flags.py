"""Flags from the fields of an options dataclass, options from the flags that were given, and errors in their words."""

import argparse
import contextlib
import dataclasses
import re
from collections.abc import Generator
from typing import Any

from worldkv_jax.sessions.options import ReleasedCommand, described_fields, field_types
from worldkv_jax.sessions.seeds import check_seed

_IGNORED = "ignored_flags"


def add_flags(parser: Any, cls: Any, *, heading: str | None = None) -> None:
    """Add a flag for each field of an options dataclass; none is in the namespace unless it is given.

    Args:
        parser: to add to.
        cls: see `worldkv_jax.sessions.options.options_class`.
        heading: group of the fields that name none.
    """
    groups: dict[str | None, Any] = {None: parser if heading is None else parser.add_argument_group(heading)}
    types = field_types(cls)
    for field, described in described_fields(cls):
        if described.group not in groups:
            groups[described.group] = parser.add_argument_group(described.group)
        group, kind = groups[described.group], types[field.name]
        if dataclasses.is_dataclass(kind.of):
            add_flags(group, kind.of)
            continue
        words: dict[str, Any] = {"help": described.help.replace("%", "%%"), "dest": field.name}
        if kind.of is bool:
            # A switch that is off can only be turned on; what is undecided can be turned either way.
            words["action"] = "store_true" if field.default is False else argparse.BooleanOptionalAction
        else:
            choices = described.choices or kind.choices or None
            words |= {"type": kind.of, "metavar": described.metavar, "choices": choices}
            words |= {"action": "extend", "nargs": "+"} if kind.many else {}
        name = described.flag or "--" + field.name.replace("_", "-")
        group.add_argument(name, *described.also, default=argparse.SUPPRESS, **words)


def add_released_flags(parser: argparse.ArgumentParser, released: ReleasedCommand) -> None:
    """Add the flags of a released program that other flags of the parser stand for, and those that mean nothing."""
    group = next((group for group in parser._action_groups if group.title == released.heading), None)
    group = group or parser.add_argument_group(released.heading)
    ours = {action.dest: action for action in parser._actions}
    for flag, dest in released.same.items():
        words: dict[str, Any] = {"dest": dest, "help": argparse.SUPPRESS}
        if dest in ours:
            like = ours[dest]
            words |= {"type": like.type, "metavar": like.metavar, "help": like.option_strings[0]}
        group.add_argument(flag, default=argparse.SUPPRESS, **words)
    for flag, values in released.ignored.items():
        group.add_argument(flag, dest=_IGNORED, nargs=values, action=_Ignore, help=argparse.SUPPRESS)


class _Ignore(argparse.Action):
    """Note that a flag was given, without its values."""

    def __call__(self, parser, namespace, values, option_string=None):
        setattr(namespace, _IGNORED, [*ignored_flags(namespace), option_string])


def ignored_flags(args: argparse.Namespace) -> list[str]:
    """Return the flags that were given although they mean nothing."""
    return getattr(args, _IGNORED, None) or []


def from_flags(cls: Any, args: argparse.Namespace) -> Any:
    """Make an options dataclass of the flags that were given; ``None`` of an inner one where none was.

    Raises:
        ValueError: what the dataclass refuses, or a flag without its value.
    """
    given, types = {}, field_types(cls)
    for field, _ in described_fields(cls):
        kind = types[field.name]
        if dataclasses.is_dataclass(kind.of):
            if any(hasattr(args, inner.name) for inner, _ in described_fields(kind.of)):
                given[field.name] = from_flags(kind.of, args)
        elif hasattr(args, field.name):
            value = getattr(args, field.name)
            if value == []:  # what argparse before Python 3.13 makes of --flag=--
                raise ValueError(f"`{field.name}` is given without a value")
            given[field.name] = tuple(value) if kind.many else value
    return cls(**given)


@contextlib.contextmanager
def errors_in_flags(parser: argparse.ArgumentParser) -> Generator[None]:
    """Reword errors that name options in backticks into the flags of a command line."""
    try:
        yield
    except (ValueError, OSError) as error:
        text = in_flags(str(error), parser)
        if text == str(error):
            raise
        raise (ValueError if isinstance(error, ValueError) else type(error))(text) from error


def in_flags(text: str, parser: argparse.ArgumentParser) -> str:
    """Reword a text that names options in backticks: `` `retrieve` `` becomes ``--retrieve``."""
    flags: dict[str, str] = {}
    for action in parser._actions:
        for flag in action.option_strings[:1]:
            flags.setdefault(action.dest, flag)

    def reword(found: re.Match[str]) -> str:
        off = "--no-" + found["name"].replace("_", "-")
        if found["value"] == "False" and off in parser._option_string_actions:
            return off
        return flags.get(found["name"], found[0])

    return re.sub(r"`(?P<name>[a-z]\w*)(=(?P<value>True|False))?`", reword, text)


def seed_number(word: str) -> int:
    """Read a seed: a whole number of 64 bits."""
    try:
        return check_seed(int(word))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{word!r} is no whole number from 0 to 2**64 - 1") from None
