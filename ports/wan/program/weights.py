"""Weights of a model's networks: loaded from its folder with a bar, or drawn, straight to where they belong."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, Sharding
from tqdm import tqdm

from checkpoints.components import Component
from checkpoints.foreign import name_folder
from checkpoints.manifest import is_converted
from checkpoints.restore import load_params
from checkpoints.sources import visible
from ports.wan.sharding import param_shardings
from worldkv_jax.rollout import split
from worldkv_jax.sessions import Placement


def check_parts(ckpt: str | Path, components: Iterable[Component]) -> None:
    """Check that a model folder has what is needed of it; a converted one tells so itself when it is opened.

    Raises:
        FileNotFoundError: it lacks some, all of which are named.
    """
    folder = Path(ckpt)
    if not folder.is_dir() or is_converted(folder):
        return
    missing = [part for part in components if not any(visible(folder, pattern) for pattern in part.files)]
    if missing:
        lines = [f"{part.name}: no {' and no '.join(part.files)}" for part in missing]
        found = name_folder(folder)
        head = f"{ckpt} is no whole model folder" + (f"; {found}" if found else ":")
        raise FileNotFoundError("\n  ".join([head, *lines]))


def load_transformer(place: str | Path, component: Component, dtype: str, where: Placement) -> dict:
    """Load a diffusion transformer, split over a mesh if there is one."""
    return _load(place, component, dtype, transformer_sharding(where))[1]


def draw_transformer(draw: Callable[[], dict], where: Placement) -> dict:
    """Draw a diffusion transformer, and place it as `load_transformer` does."""
    params, sharding = draw(), transformer_sharding(where)
    return jax.device_put(params, sharding(params) if callable(sharding) else sharding)


def load_whole(place: str | Path, component: Component, dtype: str, where: Placement) -> tuple[Any, dict]:
    """Load another network, whole on every device of a mesh: its configuration and parameters."""
    return _load(place, component, dtype, whole_sharding(where))


def load_for_once(place: str | Path, component: Component, dtype: str, where: Placement) -> tuple[Any, dict]:
    """Load a network that runs once, before the rollout, on one device: its configuration and parameters."""
    return _load(place, component, dtype, once_sharding(where))


def transformer_sharding(where: Placement) -> Any:
    """Say where a transformer lies, for `checkpoints.restore.load_params`."""
    mesh = where.sharding
    if isinstance(mesh, Mesh):
        return lambda params: param_shardings(params, mesh, fsdp=where.fsdp)
    return mesh


def whole_sharding(where: Placement) -> Sharding | None:
    """Say where a network lies that is not split."""
    return split(where.sharding) if isinstance(where.sharding, Mesh) else where.sharding


def once_sharding(where: Placement) -> Sharding | None:
    """Say where a network lies that runs before the rollout: it needs one device of a mesh alone."""
    return None if isinstance(where.sharding, Mesh) else where.sharding


def _load(place: str | Path, component: Component, dtype: str, sharding: Any) -> tuple[Any, dict]:
    with tqdm(desc=f"loading {component.name}", unit=" weights", unit_scale=True) as bar:

        def advance(done: int, total: int) -> None:
            bar.total = total
            bar.update(done)

        return load_params(place, component, dtype=jnp.dtype(dtype), sharding=sharding, progress=advance)
