"""What two sessions must have in common to go on with the same world, and the difference in words."""

import dataclasses
import enum
import functools
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from worldkv_jax.memory.layout import Layout
from worldkv_jax.rollout.offloading import Offloaded, is_offloaded, scan_layers


def world_identity(model: str, backbone: Any, params: Any, layout: Layout) -> dict[str, Any]:
    """Describe what decides how a world goes on, as JSON: model, sizes, precision, memory, and weights that are given.

    The tier of the bank is left out: all hold the same bits. So is room for chunks, where only the bank grows with it.
    """
    memory = _plain(layout.config)
    if isinstance(memory.get("bank"), dict):
        del memory["bank"]["tier"]
    fixed = layout.config.mode == "full" or layout.config.released_window
    return {
        "model": model,
        "backbone": _plain(backbone),
        "memory": memory,
        "worlds": layout.worlds,
        "chunks": layout.chunks if fixed else None,
        "weights": None if params is None else fingerprint(params),
    }


def check_identity(saved: Mapping[str, Any], here: Mapping[str, Any], *, what: str) -> None:
    """Raise ValueError with every value that differs, both of them; weights that are not known do not count.

    The text names the option that gives the same, in backticks, where the length of the path decided and not somebody.
    """
    saved, here = dict(_flat("", saved)), dict(_flat("", here))
    if here.get("weights") is None:
        here["weights"] = saved.get("weights")
    names = [name for name in {**saved, **here} if saved.get(name) != here.get(name)]
    if names:
        lines = [
            f"  {name}: {saved.get(name)} there, {here.get(name)} here"
            + (f"; give `{_FITTED[name]}` {saved[name]}" if name in _FITTED and name in saved else "")
            for name in names
        ]
        raise ValueError(f"{what} is a world of something else; give what it was made with:\n" + "\n".join(lines))


_FITTED = {"memory.retrieval.chunks": "retrieve"}
"""What a short path has fewer of, see `MemoryConfig.fitted`, and the option that says how many."""


def made_with() -> dict[str, str]:
    """Describe what decides about the last bits: versions and platform."""
    device = jax.devices()[0]
    return {"jax": jax.__version__, "platform": device.platform, "device": device.device_kind}


def key_to_json(key: jax.Array | None) -> dict[str, Any] | None:
    """Return a typed random key as JSON."""
    if key is None:
        return None
    return {"impl": str(jax.random.key_impl(key)), "data": np.asarray(jax.random.key_data(key)).tolist()}


def key_from_json(data: Mapping[str, Any] | None) -> jax.Array | None:
    """Return the random key of which this is `key_to_json`."""
    if data is None:
        return None
    return jax.random.wrap_key_data(jax.device_put(np.array(data["data"], np.uint32)), impl=data["impl"])


def fingerprint(params: Any) -> str:
    """Tell weights apart by their bits: a checksum of paths, shapes, dtypes and numbers.

    Computed where the weights lie, in whole numbers, so that it is the same on every platform and mesh; of layers that
    wait in host memory too.
    """
    leaves = [leaf for leaf in jax.tree.leaves(params, is_leaf=is_offloaded) if hasattr(leaf, "dtype")]
    sums = np.asarray(_sums(leaves)) if leaves else np.zeros(0, np.uint32)
    described = [(leaf.shape, leaf.dtype.name) for leaf in leaves]
    return hashlib.sha256(repr(described).encode() + sums.astype("<u4").tobytes()).hexdigest()[:32]


@jax.jit
def _sums(leaves: list[jax.Array | Offloaded]) -> jax.Array:
    return jnp.stack([_sum_layers(leaf) if isinstance(leaf, Offloaded) else _sum(leaf) for leaf in leaves])


def _sum_layers(stack: Offloaded) -> jax.Array:
    def add(total: jax.Array, layer: jax.Array, number: jax.Array) -> tuple[jax.Array, None]:
        return total + _sum(layer[None], first=number), None

    return scan_layers(add, jnp.uint32(0), stack, range(stack.shape[0]))[0]


def _sum(leaf: jax.Array, *, first: jax.Array | int = 0) -> jax.Array:
    """Add up the bits of an array, each number weighted by its place; no reshape, so a split array stays split.

    ``first`` is the place of its first row, where it is a part of an array.
    """
    if leaf.dtype == jnp.bool_:
        leaf = leaf.astype(jnp.uint8)
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    width = min(leaf.dtype.itemsize, 4)
    bits = jax.lax.bitcast_convert_type(leaf, jnp.dtype(f"uint{8 * width}")).astype(jnp.uint32)
    place = jnp.full(bits.shape, 1, jnp.uint32)
    for axis in range(bits.ndim):
        step = jnp.uint32((0x9E3779B1 * (2 * axis + 1)) % 2**32)
        along = jax.lax.broadcasted_iota(jnp.uint32, bits.shape, axis)
        place = (place + along + (jnp.uint32(first) if axis == 0 else 0)) * step
    return jnp.sum(bits * (place | 1), dtype=jnp.uint32)


def _plain(value: Any) -> Any:
    """Turn a configuration into JSON; what has no other form becomes its repr."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {"is": type(value).__name__, **fields}
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    named = getattr(value, "_asdict", None)
    if isinstance(value, tuple) and named is not None:
        return _plain(named())
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, functools.partial) or callable(value):
        return getattr(value, "__qualname__", type(value).__name__)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return repr(value)


def _flat(place: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _flat(f"{place}.{name}" if place else name, item)
    elif isinstance(value, list | tuple):
        yield place, list(value)
    else:
        yield place, value
