"""Save and restore pytrees of arrays with Orbax, whole or not at all."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp


def save_pytree(path: str | Path, tree: Any) -> None:
    """Write a pytree to the folder ``path``; an existing one is replaced only when the new one is complete.

    Typed random keys are stored as their data. A node with a method ``to_saved`` is stored as what that returns
    and comes back through the ``from_saved`` of the latter: a `WorldMemory` of any tier can be saved.

    Raises:
        NotADirectoryError: ``path`` is a file.
        FileExistsError: it is a folder with something else in it than a saved pytree.
    """
    path = Path(path).resolve()
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(f"{path} is a file; give a folder, which save_pytree may replace")
    if path.exists() and any(path.iterdir()) and not any(path.glob("_*METADATA")):
        raise FileExistsError(f"{path} holds something else, which would be gone; give a folder of its own")
    leaves = jax.tree.map(_storable, _convert(tree, "to_saved"))
    path.parent.mkdir(parents=True, exist_ok=True)
    # Orbax removes what is there before it writes; so it writes elsewhere, and renaming puts the new one in place.
    draft = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(draft / "new", leaves)
        if path.exists():
            os.rename(path, _replaced(path, fresh=True))
        os.rename(draft / "new", path)
        shutil.rmtree(_replaced(path), ignore_errors=True)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def load_pytree(path: str | Path, like: Any) -> Any:
    """Read a pytree that `save_pytree` wrote.

    Args:
        path: the folder.
        like: a pytree of the same structure, of arrays or ``jax.ShapeDtypeStruct``, whose shapes, dtypes and
            shardings the result takes. For a rollout that is a world fresh from ``start``.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: the stored structure or a shape differs from ``like``; names every leaf that does.
    """
    path = Path(path).resolve()
    if not path.is_dir():
        path = _replaced(path) if _replaced(path).is_dir() else path  # the writer died between two renames
    if not path.is_dir():
        raise FileNotFoundError(f"no saved state at {path}; expected the folder that save_pytree wrote")
    like = _convert(like, "to_saved")
    target = jax.tree.map(lambda leaf: jax.eval_shape(_storable, leaf) if _is_unusual(leaf) else leaf, like)
    with ocp.StandardCheckpointer() as checkpointer:
        _check_shapes(checkpointer.metadata(path).item_metadata.tree, target)
        leaves = checkpointer.restore(path, target)
    return _convert(jax.tree.map(_restored, leaves, like), "from_saved")


def _check_shapes(stored: Any, target: Any) -> None:
    """Name every leaf that differs: Orbax stops at the first shape, and does not say whose it is."""
    # By name: Orbax gives back dictionaries and lists, whatever kind of node the target has in their place.
    stored, target = (
        {jax.tree_util.keystr(path, simple=True, separator="/"): tuple(np.shape(leaf)) for path, leaf in leaves}
        for leaves in map(jax.tree.leaves_with_path, (stored, target))
    )
    lines = [f"  {name}: stored, but not expected" for name in sorted(stored.keys() - target.keys())]
    lines += [f"  {name}: expected, but not stored" for name in sorted(target.keys() - stored.keys())]
    for name in sorted(stored.keys() & target.keys()):
        if stored[name] != target[name]:
            lines.append(f"  {name}: stored {stored[name]}, expected {target[name]}")
    if lines:
        raise ValueError(
            "the saved state does not fit; restore into what it was saved from (the same configuration and sizes):\n"
            + "\n".join(lines)
        )


def _convert(tree: Any, method: str) -> Any:
    def has(node):
        return hasattr(node, method)

    return jax.tree.map(lambda node: getattr(node, method)() if has(node) else node, tree, is_leaf=has)


def _replaced(path: Path, *, fresh: bool = False) -> Path:
    """Where the folder that is being replaced stands for the moment between two renames."""
    old = path.with_name(f".{path.name}.replaced")
    if fresh:
        shutil.rmtree(old, ignore_errors=True)
    return old


def _is_key(leaf) -> bool:
    return isinstance(leaf, jax.Array | jax.ShapeDtypeStruct) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _is_empty(leaf) -> bool:
    return 0 in np.shape(leaf)


def _is_unusual(leaf) -> bool:
    return _is_key(leaf) or _is_empty(leaf)


def _storable(leaf):
    if _is_key(leaf):
        return jax.random.key_data(leaf)
    if _is_empty(leaf):  # Orbax cannot store an array of no elements, such as a sink of no frames
        return jnp.zeros((), jnp.int8)
    return leaf if isinstance(leaf, jax.Array) else np.asarray(leaf)


def _restored(leaf, like):
    if _is_key(like):
        return jax.random.wrap_key_data(leaf, impl=jax.random.key_impl(like))
    return jnp.zeros(like.shape, like.dtype, device=getattr(like, "sharding", None)) if _is_empty(like) else leaf
