"""Weights of a model's networks: loaded from its folder with a bar, or drawn, straight to where they belong."""

import dataclasses
import functools
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh, Sharding, SingleDeviceSharding
from tqdm import tqdm

from checkpoints.components import Component
from checkpoints.foreign import name_folder
from checkpoints.manifest import is_converted
from checkpoints.restore import load_params
from checkpoints.sources import visible
from ports.wan.nn.dit import WanConfig
from ports.wan.nn.parameters import init_params
from ports.wan.nn.quantized import quantize_blocks
from ports.wan.sharding import param_shardings
from worldkv_jax.rollout import split
from worldkv_jax.rollout.offloading import wait
from worldkv_jax.sessions import Placement

AnyConfig = TypeVar("AnyConfig", bound=WanConfig)


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


def choose_weights(config: AnyConfig, asked: str | None) -> tuple[AnyConfig, bool]:
    """Say in how many bits the kernels of the blocks are: as asked for, or as a converted checkpoint has them.

    Returns:
        The configuration, and whether they have to be rounded when they are loaded.

    Raises:
        ValueError: a checkpoint in other eight bits than asked for.
    """
    if config.weights is not None:
        if asked not in (None, config.weights):
            raise ValueError(
                f"`weights` {asked}, but the checkpoint was converted to {config.weights}: leave `weights` out, or "
                "convert the original again"
            )
        return config, False
    return dataclasses.replace(config, weights=asked), asked is not None


def make_transformer(
    network: type[nnx.Module],
    config: WanConfig,
    where: Placement,
    *,
    component: Component,
    ckpt: str | Path | None,
    offload: int = 0,
) -> dict:
    """Load or draw a diffusion transformer: split over a mesh if there is one, its blocks in the bits they should have.

    Args:
        network: the module.
        config: its configuration.
        where: where to place it.
        component: what it is in a checkpoint.
        ckpt: where the checkpoint is; ``None`` to draw the weights.
        offload: layers whose weights wait in host memory, see `check_offload`; all are put together there first.
    """

    def make(sharding: Any) -> dict:
        if ckpt is not None:
            params = _load(ckpt, component, config.dtype, sharding)[1]
        else:
            params = init_params(network, config, 0, dtype=jnp.dtype(config.dtype))
            params = jax.device_put(params, sharding(params) if callable(sharding) else sharding)
        return quantize_blocks(params, config.weights)

    sharding = transformer_sharding(where)
    if not offload:
        return make(sharding)
    host = jax.devices("cpu")[0]
    with jax.default_device(host):
        params = make(SingleDeviceSharding(host))
    if not callable(sharding):
        sharding = functools.partial(jax.tree.map, lambda _: where.sharding or SingleDeviceSharding(jax.devices()[0]))
    places: Any = sharding(params)
    blocks = jax.tree.map(lambda stack, place: wait(stack, offload, place), params.pop("blocks"), places.pop("blocks"))
    return {**jax.device_put(params, places), "blocks": blocks}


def check_offload(config: WanConfig, offload: int, *, first: int = 0) -> int:
    """Check that so many layers can wait in host memory: one of each group of layers, all of the same size.

    Args:
        config: of the transformer.
        offload: what was asked for; 0 for none.
        first: layers that run apart from those after them.

    Raises:
        ValueError: a number that does not cut the layers so.
    """
    sizes = [size for size in range(1, config.layers + 1) if config.layers % size == 0 and first % size == 0]
    numbers = sorted(config.layers // size for size in sizes)
    if offload and offload not in numbers:
        raise ValueError(
            f"`offload` {offload}: one of each group of the {config.layers} layers waits; give one of {numbers}"
        )
    return offload


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
