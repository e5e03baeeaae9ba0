"""Sub-commands for models: their flags are the fields of their options, see `worldkv_jax.sessions.registry`."""

import argparse
import sys
import typing
from collections.abc import Callable

from worldkv_jax.cli.flags import add_flags, add_released_flags, errors_in_flags, from_flags, ignored_flags, in_flags
from worldkv_jax.entry_points import find_entries, read_help
from worldkv_jax.sessions.memory_options import MemoryOptions
from worldkv_jax.sessions.registry import GROUP, model_options

if typing.TYPE_CHECKING:
    from worldkv_jax.sessions import Session


def add_models(parser: argparse.ArgumentParser, add_common: Callable[[argparse.ArgumentParser], None]) -> None:
    """Add one sub-command for each model: its own options, and those that ``add_common`` adds."""
    models = parser.add_subparsers(
        title="models", dest="model", metavar="MODEL", required=True, parser_class=_ModelParser
    )
    for name, value in find_entries(GROUP).items():
        text = read_help(value).replace("%", "%%")
        models.add_parser(name, help=text, description=text, allow_abbrev=False).fill_in(name, add_common)


class _ModelParser(argparse.ArgumentParser):
    """Asks its model for options when it parses, so that naming one model does not import the others."""

    _name: str | None = None

    def fill_in(self, name: str, add_common: Callable[[argparse.ArgumentParser], None]) -> None:
        self._name, self._add_common = name, add_common

    def parse_known_args(self, args=None, namespace=None):  # pyright: ignore[reportIncompatibleMethodOverride]
        if self._name is not None:
            name, self._name = self._name, None
            cls = model_options(name)
            add_flags(self, cls)
            self._add_common(self)
            released = getattr(cls, "RELEASED", None)
            if released is not None:
                add_released_flags(self, released)
            self.set_defaults(options_class=cls, model_parser=self)
        return super().parse_known_args(args, namespace)


def add_memory_flags(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose the memory of a rollout, the same for every model."""
    add_flags(parser, MemoryOptions, heading="memory (default: the model's own)")


def open_session(
    args: argparse.Namespace, *, memory: bool = True, weights: bool = True, decode: bool = True
) -> "Session":
    """Open the model of a command line, and say what one would not expect of it.

    Args:
        args: of a parser that `add_models` filled.
        memory: whether the parser has the memory's flags.
        weights: whether the rollout is to be run.
        decode: whether frames are wanted.

    Raises:
        OSError: a file is missing.
        ValueError: something is not as it has to be; in the words of the command line.
    """
    parser = args.model_parser
    with errors_in_flags(parser):
        asked = from_flags(MemoryOptions, args) if memory else None
        options = from_flags(args.options_class, args)
        session = options.check(asked, weights=weights, decode=decode)
    ignored = ignored_flags(args)
    if ignored:
        print(f"ignored, for they only tell PyTorch how to run: {', '.join(ignored)}", file=sys.stderr)
    tell(session.notes, args)
    return session


def load_session(session: "Session", args: argparse.Namespace) -> "Session":
    """Load the model of a command line, and say what one would not expect of its weights.

    Raises:
        OSError: a file is missing or cannot be read.
        ValueError: weights that are damaged or do not fit.
    """
    loaded = session.load()
    tell(loaded.notes[len(session.notes) :], args)
    return loaded


def tell(notes: typing.Iterable[str], args: argparse.Namespace) -> None:
    """Say notes of a session aloud, in the words of the command line."""
    for note in notes:
        print(f"note: {in_flags(note, args.model_parser)}", file=sys.stderr)
