"""Save and restore pytrees of arrays with Orbax, whole or not at all."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp


def save_pytree(path: str | Path, tree: Any) -> None:
    """Write a pytree to the folder ``path``; an existing one is replaced only when the new one is complete.

    Typed random keys are stored as their data.
    """
    leaves = jax.tree.map(_storable, tree)
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(Path(path).resolve(), leaves, force=True)


def load_pytree(path: str | Path, like: Any) -> Any:
    """Read a pytree that `save_pytree` wrote.

    Args:
        path: the folder.
        like: a pytree of the same structure, of arrays or ``jax.ShapeDtypeStruct``, whose shapes, dtypes and
            shardings the result takes.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: the stored structure or a shape differs from ``like`` (raised by Orbax, all at once).
    """
    path = Path(path).resolve()
    if not path.is_dir():
        raise FileNotFoundError(f"no saved state at {path}; expected the folder that save_pytree wrote")
    target = jax.tree.map(lambda leaf: jax.eval_shape(_storable, leaf) if _is_key(leaf) else leaf, like)
    with ocp.StandardCheckpointer() as checkpointer:
        leaves = checkpointer.restore(path, target)
    return jax.tree.map(_restored, leaves, like)


def _is_key(leaf) -> bool:
    return isinstance(leaf, jax.Array | jax.ShapeDtypeStruct) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _storable(leaf):
    if _is_key(leaf):
        return jax.random.key_data(leaf)
    return leaf if isinstance(leaf, jax.Array) else np.asarray(leaf)


def _restored(leaf, like):
    return jax.random.wrap_key_data(leaf, impl=jax.random.key_impl(like)) if _is_key(like) else leaf
