"""Nested parameters by path: ``blocks/self_attn/q/kernel``."""

from collections.abc import Mapping
from typing import Any

import jax


def flatten(params: Any) -> dict[str, Any]:
    """Return the leaves of nested dictionaries by path, keys joined by slashes."""
    leaves = jax.tree.leaves_with_path(params)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def unflatten(like: Any, leaves: Mapping[str, Any]) -> Any:
    """Return nested dictionaries with the keys of ``like``, numbers included, and these leaves."""
    return jax.tree.unflatten(jax.tree.structure(like), [leaves[path] for path in flatten(like)])
