"""Models by name: ours and those that other packages offer.

A model joins through the entry-point group ``worldkv_jax.models``: the name of the entry point is the model, its value
``module:Class`` an options dataclass, see `worldkv_jax.sessions.ModelOptions`. The module has ``HELP``, one line,
assigned a plain string at the top level: it is read from the source, so that listing models imports none of them.
"""

import dataclasses
from typing import Any

from worldkv_jax.entry_points import find_entries, load_entry
from worldkv_jax.names import check_name, unknown_name
from worldkv_jax.sessions.model_options import ModelOptions

GROUP = "worldkv_jax.models"


def model_names() -> list[str]:
    """Return the names of all models that are installed."""
    return list(find_entries(GROUP))


def model_options(name: str) -> type:
    """Return the options dataclass of a model.

    Raises:
        ValueError: no model of this name, or one that cannot be loaded.
    """
    entries = find_entries(GROUP)
    cls = load_entry("model", check_name("model", name, entries), entries[name])
    if not isinstance(cls, type) or not dataclasses.is_dataclass(cls) or not callable(getattr(cls, "check", None)):
        raise ValueError(f"model {name!r} is broken: {entries[name]} is no options dataclass with a method check")
    return cls


def open_model(name: str, **options: Any) -> ModelOptions:
    """Ask for a model by name.

    Args:
        name: such as ``"demo-world"``, see `model_names`.
        options: fields of its options dataclass, such as ``ckpt="DIR"``.

    Returns:
        The options: ``open_model("demo-world").check().load()`` is a model that can be rolled out.

    Raises:
        ValueError: no such model, or no such option of it.
    """
    cls = model_options(name)
    fields = [field.name for field in dataclasses.fields(cls)]
    for given in options:
        if given not in fields:
            raise unknown_name(f"option of {name}", given, fields)
    return cls(**options)
