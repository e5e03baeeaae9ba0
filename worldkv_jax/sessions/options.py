"""What a model is asked for: one frozen dataclass a model, whose fields are documented once.

From Python the dataclass is called, from a shell each of its fields is a flag. Nothing here imports JAX, so that help
is quick, and nothing here knows a command line.
"""

import dataclasses
import functools
import math
import numbers
import os
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, dataclass_transform

from worldkv_jax.names import check_name
from worldkv_jax.whole_numbers import whole

_KEY = "option"

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Option:
    """How one field of an options dataclass is described to people."""

    help: str
    """What it means, in one line."""
    metavar: str | None = None
    """What stands for its value in help."""
    choices: tuple[str, ...] = ()
    """Its values, where there are few and its type is no ``Literal`` of them."""
    flag: str | None = None
    """Its flag, where that is not its name with dashes."""
    also: tuple[str, ...] = ()
    """Other names of its flag, such as those of a released program."""
    group: str | None = None
    """Heading that it stands under in help."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReleasedCommand:
    """The command line of a released program, as far as it is taken over beside the options."""

    program: str
    same: Mapping[str, str]
    """Its flags that are called otherwise by every model's command, such as ``--base_seed`` for ``seed``."""
    ignored: Mapping[str, int]
    """Its flags that mean nothing here, with the number of values that follow."""

    @property
    def heading(self) -> str:
        """Group of all its flags in help."""
        return f"flags of the released {self.program}, for which this program has others"


def option(
    default: Any,
    help: str,
    *,
    metavar: str | None = None,
    choices: tuple[str, ...] = (),
    flag: str | None = None,
    also: str | tuple[str, ...] = (),
    group: str | None = None,
) -> Any:
    """Declare a field of an options dataclass, see `Option`.

    Its type says what its flag takes: ``bool`` is a switch, a ``Literal`` one of its values, a tuple may be given
    several times, a dataclass of options becomes the flags of its own fields.
    """
    also = (also,) if isinstance(also, str) else also
    described = Option(help=help, metavar=metavar, choices=choices, flag=flag, also=also, group=group)
    return dataclasses.field(default=default, metadata={_KEY: described})


@dataclass_transform(frozen_default=True, kw_only_default=True)
def options_class(cls: type[T]) -> type[T]:
    """Make a frozen keyword-only dataclass of options, which lists them in its docstring."""
    checked = getattr(cls, "__post_init__", lambda self: None)

    def __post_init__(self: Any) -> None:
        types = field_types(type(self))
        for field, described in described_fields(type(self)):
            value, choices = getattr(self, field.name), described.choices or types[field.name].choices
            if choices and value is not None:
                check_name(f"`{field.name}`", value, choices)
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"`{field.name}` {value} is not a finite number")
            if value is not None and types[field.name] == FieldType(int):
                object.__setattr__(self, field.name, whole(f"`{field.name}`", value))
            elif value is not None and types[field.name] == FieldType(float) and not isinstance(value, numbers.Real):
                raise ValueError(f"`{field.name}` {value!r} is not a number")
            elif isinstance(value, os.PathLike) and field.name in _text_fields(type(self)):
                object.__setattr__(self, field.name, os.fspath(value))
            elif value is not None and not isinstance(value, str) and field.name in _text_fields(type(self)):
                raise ValueError(f"`{field.name}` {value!r} is neither a text nor a path")
        checked(self)

    setattr(cls, "__post_init__", __post_init__)  # noqa: B010 (no attribute that every class has)
    made = dataclasses.dataclass(frozen=True, kw_only=True)(cls)
    lines = [f"    {field.name}: {described.help}." for field, described in described_fields(made)]
    made.__doc__ = "\n".join([made.__doc__ or "", "", "Args:", *lines])
    return made


def described_fields(cls: Any) -> list[tuple[dataclasses.Field[Any], Option]]:
    """Return the fields of an options dataclass with their descriptions, in order."""
    return [(field, field.metadata[_KEY]) for field in dataclasses.fields(cls) if _KEY in field.metadata]


@dataclasses.dataclass(frozen=True)
class FieldType:
    """What one field takes."""

    of: Callable[[str], Any]
    """Makes a value from a word; ``bool`` for a switch, a dataclass for options within options."""
    many: bool = False
    """Whether it may be given several times."""
    choices: tuple[str, ...] = ()
    """Its values, where it is a ``Literal``."""


@functools.cache
def field_types(cls: type) -> dict[str, FieldType]:
    """Read what the fields of an options dataclass take from their annotations."""
    return {name: _field_type(hint) for name, hint in typing.get_type_hints(cls).items()}


@functools.cache
def _text_fields(cls: type) -> frozenset[str]:
    """Name the fields that take a text and nothing else, which may be a path as well."""
    hints = typing.get_type_hints(cls)
    return frozenset(name for name, hint in hints.items() if hint in (str, str | None))


def _field_type(hint: Any) -> FieldType:
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _field_type(next(part for part in parts if part is not types.NoneType))
    if origin is tuple:
        return FieldType(_field_type(parts[0]).of, many=True)
    if origin is typing.Literal:
        return FieldType(type(parts[0]), choices=parts)
    return FieldType(origin or hint)
