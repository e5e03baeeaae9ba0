"""The commands of ``worldkv``: found by name without importing them.

A command is a module with

- ``HELP``, one line, assigned a plain string at the top level: it is read from the source, so that
  ``worldkv --help`` imports neither the module nor its package;
- ``add_arguments(parser)``, which adds its options to an ``argparse.ArgumentParser``;
- ``run(args)``, which does the work. A ``ValueError`` or ``OSError`` that it raises is shown to the user as a
  message, anything else as a traceback.

The module is imported only when its command is chosen. Importing jax inside ``run`` keeps
``worldkv COMMAND --help`` quick as well. Other packages add commands through the entry-point group
``worldkv_jax.commands``: the name of the entry point is the command, its value the module.
"""

import ast
import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from types import ModuleType

GROUP = "worldkv_jax.commands"

BUILT_IN: Mapping[str, str] = {
    "bench": "worldkv_jax.cli.bench",
    "cameras": "worldkv_jax.cli.cameras",
    "convert": "worldkv_jax.cli.convert",
    "evaluate": "worldkv_jax.cli.evaluate",
    "export": "worldkv_jax.cli.export",
    "inspect": "worldkv_jax.cli.inspect_checkpoint",
    "plan": "worldkv_jax.cli.plan",
    "rollout": "worldkv_jax.cli.rollout",
}
"""Modules of this package's own commands by name; they win over entry points of the same name."""


def find_commands() -> dict[str, str]:
    """Return the modules of all commands by name, in alphabetical order."""
    return dict(sorted((find_modules(GROUP) | dict(BUILT_IN)).items()))


def find_modules(group: str) -> dict[str, str]:
    """Return the modules of an entry-point group by name, in alphabetical order."""
    return dict(sorted((entry.name, entry.value) for entry in metadata.entry_points(group=group)))


def read_help(module: str) -> str:
    """Read the ``HELP`` line of a command from its source, without importing anything.

    Args:
        module: full name, such as ``"package.room.command"``.

    Returns:
        The line, or an empty string where the source or the line cannot be found.
    """
    source = _find_source(module)
    if source is None:
        return ""
    try:
        tree = ast.parse(source.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return ""
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        named = any(isinstance(target, ast.Name) and target.id == "HELP" for target in targets)
        if named and isinstance(node.value, ast.Constant):
            return str(node.value.value)
    return ""


def _find_source(module: str) -> Path | None:
    package, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(package)  # of a top-level name: imports nothing
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if not rest:
        return Path(spec.origin) if spec.origin else None
    for folder in spec.submodule_search_locations or ():
        path = Path(folder, *rest)
        for candidate in (path.with_suffix(".py"), path / "__init__.py"):
            if candidate.is_file():
                return candidate
    return None


def load_module(kind: str, name: str, module: str, parts: Sequence[str]) -> ModuleType:
    """Import the module of a command or model.

    Args:
        kind: what it is, for errors.
        name: how users call it.
        module: full name.
        parts: functions that it must have.

    Raises:
        ValueError: it cannot be imported, or lacks a part.
    """
    try:
        loaded = importlib.import_module(module)
    except ImportError as error:
        raise ValueError(f"{kind} {name!r} cannot be loaded from {module}: {error}; install what is missing") from error
    lacking = [part for part in parts if not callable(getattr(loaded, part, None))]
    if lacking:
        raise ValueError(f"{kind} {name!r} is broken: its module {module} has no {' and no '.join(lacking)}")
    return loaded
