"""Sub-commands for models: found by name, imported only when one is chosen.

A model joins through the entry-point group ``worldkv_jax.models``: the name of the entry point is the model, its
value a module with

- ``HELP``, one line, assigned a plain string at the top level;
- ``add_arguments(parser)``, which adds the model's own options;
- ``request(args, memory)``, which checks them and returns a `worldkv_jax.rollout.request.Request`; ``memory`` is the
  `MemoryConfig` that the user asked for, or ``None`` for the model's own.
"""

import argparse
from collections.abc import Callable

from worldkv_jax.cli.commands import find_modules, load_module, read_help

GROUP = "worldkv_jax.models"


def add_models(parser: argparse.ArgumentParser, add_common: Callable[[argparse.ArgumentParser], None]) -> None:
    """Add one sub-command for each model: its own options, and those that ``add_common`` adds."""
    models = parser.add_subparsers(
        title="models", dest="model", metavar="MODEL", required=True, parser_class=_LateParser
    )
    for name, module in find_modules(GROUP).items():
        text = read_help(module).replace("%", "%%")
        model = models.add_parser(name, help=text, description=text, allow_abbrev=False)
        model.fill = _Fill(name, module, add_common)


class _Fill:
    """Adds a model's options when they are needed."""

    def __init__(self, name, module, add_common):
        self.name, self.module, self.add_common = name, module, add_common

    def __call__(self, parser: argparse.ArgumentParser) -> None:
        model = load_module("model", self.name, self.module, ("add_arguments", "request"))
        model.add_arguments(parser)
        self.add_common(parser)
        parser.set_defaults(make_request=model.request)


class _LateParser(argparse.ArgumentParser):
    """Imports its model when it parses, so that naming one model does not import the others."""

    fill: Callable | None = None

    def parse_known_args(self, args=None, namespace=None):
        if self.fill is not None:
            fill, self.fill = self.fill, None
            fill(self)
        return super().parse_known_args(args, namespace)
