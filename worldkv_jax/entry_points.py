"""Models and commands that packages offer: found by name, imported only when one is chosen."""

import ast
import importlib
import importlib.util
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from worldkv_jax.extras import advice


def find_entries(group: str) -> dict[str, str]:
    """Return the values of an entry-point group by name, in alphabetical order: ``module`` or ``module:attribute``."""
    return dict(sorted((entry.name, entry.value) for entry in metadata.entry_points(group=group)))


def load_entry(kind: str, name: str, value: str) -> Any:
    """Import what an entry point names.

    Args:
        kind: what it is, for errors.
        name: how users call it.
        value: ``module``, or ``module:attribute``.

    Raises:
        ValueError: it cannot be imported.
    """
    module, _, attribute = value.partition(":")
    try:
        loaded = importlib.import_module(module)
    except ImportError as error:
        hidden = hidden_by(module)
        how = f"{hidden}; start elsewhere, or rename it" if hidden else advice(error) or "install what is missing"
        raise ValueError(f"{kind} {name!r} cannot be loaded from {module}: {error}; {how}") from error
    if not attribute:
        return loaded
    if not hasattr(loaded, attribute):
        raise ValueError(f"{kind} {name!r} is broken: its module {module} has no {attribute}")
    return getattr(loaded, attribute)


def hidden_by(module: str) -> str | None:
    """Say which folder of the user's hides the package of a module that is installed elsewhere; ``None`` for none."""
    package = module.split(".")[0]
    spec = importlib.util.find_spec(package) if package not in sys.modules else sys.modules[package].__spec__
    places = [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []
    own = Path(__file__).parents[1] / package
    if not places or not own.is_dir() or own.resolve() in (place.resolve() for place in places):
        return None
    return f"{places[0]} hides the package {package!r} of worldkv-jax"


def read_help(value: str) -> str:
    """Read the ``HELP`` line of an entry point's module from its source, without importing anything.

    Args:
        value: of the entry point, such as ``"package.room.command"`` or ``"package.model:Options"``.

    Returns:
        The line, or an empty string where the source or the line cannot be found.
    """
    source = _find_source(value.partition(":")[0])
    if source is None:
        return ""
    try:
        tree = ast.parse(source.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return ""
    for node in tree.body:
        if not isinstance(node, ast.Assign | ast.AnnAssign):
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
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
