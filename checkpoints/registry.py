"""The models whose checkpoints can be read: every installed package may add some.

A package names a `ModelFormat` in the entry-point group ``worldkv_jax.checkpoints``:
``lingbot-world-fast = "ports.lingbot_world.checkpoint:FORMAT"``.
"""

import difflib
from importlib import metadata

from checkpoints.components import ModelFormat

GROUP = "worldkv_jax.checkpoints"


def find_models() -> dict[str, metadata.EntryPoint]:
    """Return all models by name, without importing any."""
    return dict(sorted((entry.name, entry) for entry in metadata.entry_points(group=GROUP)))


def load_model(name: str) -> ModelFormat:
    """Return a model by name.

    Raises:
        ValueError: there is none of this name, or its package cannot be imported.
    """
    found = find_models()
    if name not in found:
        near = difflib.get_close_matches(name, found, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"unknown model {name!r}; {hint}valid: {', '.join(found) or 'none, no port is installed'}")
    try:
        return found[name].load()
    except (ImportError, AttributeError) as error:
        raise ValueError(f"model {name!r} cannot be loaded from {found[name].value}: {error}") from error


def load_models() -> list[ModelFormat]:
    """Return all models that can be loaded."""
    models = []
    for name in find_models():
        try:
            models.append(load_model(name))
        except ValueError:
            continue  # of a package that lacks something; it must not stand in the way of others
    return models
