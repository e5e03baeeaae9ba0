"""The commands of ``worldkv``: found by name without importing them.

A command is an options dataclass (see `worldkv_jax.sessions.options`) with a method ``run``, whose module has ``HELP``;
or a module with

- ``HELP``, one line, assigned a plain string at the top level: it is read from the source, so that
  ``worldkv --help`` imports neither the module nor its package;
- ``add_arguments(parser)``, which adds its options to an ``argparse.ArgumentParser``;
- ``run(args)``, which does the work. A ``ValueError`` or ``OSError`` that it raises is shown to the user as a
  message, anything else as a traceback.

The module is imported only when its command is chosen. Importing jax inside ``run`` keeps
``worldkv COMMAND --help`` quick as well. Other packages add commands through the entry-point group
``worldkv_jax.commands``: the name of the entry point is the command, its value ``module:Class`` or ``module``.
"""

import argparse
import dataclasses
from collections.abc import Mapping
from typing import Any

from worldkv_jax.cli.flags import add_flags, errors_in_flags, from_flags
from worldkv_jax.entry_points import find_entries, load_entry

GROUP = "worldkv_jax.commands"

BUILT_IN: Mapping[str, str] = {
    "bench": "worldkv_jax.cli.bench",
    "cameras": "worldkv_jax.cli.cameras",
    "convert": "worldkv_jax.cli.convert",
    "evaluate": "worldkv_jax.cli.evaluate",
    "export": "worldkv_jax.cli.export",
    "inspect": "worldkv_jax.cli.inspect_checkpoint",
    "plan": "worldkv_jax.cli.plan",
    "play": "worldkv_jax.cli.play",
    "replay": "worldkv_jax.cli.replay",
    "rollout": "worldkv_jax.cli.rollout",
    "world": "worldkv_jax.cli.world",
}
"""Modules of this package's own commands by name; they win over entry points of the same name."""


def find_commands() -> dict[str, str]:
    """Return the modules of all commands by name, in alphabetical order."""
    return dict(sorted((find_entries(GROUP) | dict(BUILT_IN)).items()))


def load_command(name: str, value: str) -> Any:
    """Import a command.

    Returns:
        What has ``add_arguments`` and ``run``.

    Raises:
        ValueError: it cannot be imported, or lacks a part.
    """
    loaded = load_entry("command", name, value)
    if isinstance(loaded, type) and dataclasses.is_dataclass(loaded) and callable(getattr(loaded, "run", None)):
        return _OptionsCommand(loaded)
    lacking = [part for part in ("add_arguments", "run") if not callable(getattr(loaded, part, None))]
    if lacking:
        raise ValueError(f"command {name!r} is broken: {value} has no {' and no '.join(lacking)}")
    return loaded


class _OptionsCommand:
    """A command whose flags are the fields of a dataclass."""

    def __init__(self, cls: type):
        self._cls = cls

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        add_flags(parser, self._cls)
        self._parser = parser

    def run(self, args: argparse.Namespace) -> None:
        with errors_in_flags(self._parser):
            from_flags(self._cls, args).run()
