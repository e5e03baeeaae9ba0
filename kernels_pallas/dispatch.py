"""Choosing an implementation of a kernel by name, and saying clearly why one cannot run."""

import difflib
import functools
import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap

# One name, names in order of preference, or None for the default.
Implementation = str | Sequence[str] | None

# Every name a kernel may have, with the file that holds it inside the kernel's folder.
FILES: Mapping[str, str] = {"xla": "reference", "mosaic_gpu": "pallas_mosaic_gpu", "triton": "pallas_triton"}
# Where each version for some chips alone can run, when it is not interpreted.
PLATFORMS: Mapping[str, tuple[str, ...]] = {"mosaic_gpu": ("gpu", "cuda"), "triton": ("gpu", "cuda")}
DEFAULT = ("xla",)


def call(
    kernel: str,
    available: Sequence[str],
    implementation: Implementation,
    interpret: bool,
    *args: Any,
    **static: Any,
) -> Any:
    """Run the first implementation of `kernel` that accepts these arguments.

    Raises ValueError for a name no kernel has, NotImplementedError with every reason if none can run.
    """
    names = DEFAULT if implementation is None else implementation
    names = (names,) if isinstance(names, str) else tuple(names)
    for name in names:
        check_name(kernel, available, name)
    if not names:
        raise ValueError(f"implementation={implementation!r} names no version of {kernel}; None is the default")
    reasons: list[str] = []
    cause = None
    for name in names:
        try:
            return load(kernel, available, name, interpret, **static)(*args)
        except NotImplementedError as error:
            reasons.append(f"{kernel} as {name!r}: {error}")
            cause = error
    raise NotImplementedError("\n".join(reasons)) from cause


def check_name(kernel: str, available: Sequence[str], name: str) -> None:
    """Raise ValueError, with the nearest valid name, unless some kernel has an implementation `name`."""
    if name not in FILES:
        near = difflib.get_close_matches(name, FILES, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        valid = ", ".join(map(repr, available))
        raise ValueError(f"implementation={name!r} is unknown to {kernel}, which has {valid}{hint}")


def load(kernel: str, available: Sequence[str], name: str, interpret: bool, **static: Any) -> Callable[..., Any]:
    """Import implementation `name` of `kernel`, or raise NotImplementedError if it cannot run here."""
    if name not in available:
        raise NotImplementedError(f"there is no such version; use {' or '.join(map(repr, available))}")
    # Imported on demand: a machine without a GPU need not have what the GPU backends import.
    module = importlib.import_module(f"kernels_pallas.{kernel}.{FILES[name]}")
    function = getattr(module, kernel)
    if name == "xla":
        return functools.partial(function, **static)
    if not interpret and target_platform() not in PLATFORMS[name]:
        chip = PLATFORMS[name][0]
        raise NotImplementedError(
            f"a Pallas {chip.upper()} kernel cannot run on {target_platform()!r}; use implementation=None for XLA, or "
            f"interpret=True to test the kernel. To lower it for a {chip.upper()} this machine lacks, trace it under "
            f'jax.sharding.use_abstract_mesh with an AbstractDevice of platform="{chip}"'
        )
    return vmap_as_leading_axis(functools.partial(function, interpret=interpret, **static))


def target_platform() -> str:
    """Return the platform of code traced now: the abstract mesh's, else the default backend's."""
    device = jax.sharding.get_abstract_mesh().abstract_device
    return device.platform if device is not None else jax.default_backend()


def vmap_as_leading_axis(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make vmap give `function` one more leading axis.

    The kernels turn leading axes into grid dimensions themselves; a batching rule that added an axis to the
    blocks inside a kernel would exceed the five dimensions of a Hopper bulk copy.
    """
    batched = custom_vmap(function)

    @batched.def_vmap
    def rule(axis_size: int, in_batched: Sequence[Any], *args: Any) -> tuple[Any, Any]:
        def lead(is_batched: bool, x: jax.Array) -> jax.Array:
            return x if is_batched else jnp.broadcast_to(x, (axis_size, *x.shape))

        out = batched(*jax.tree.map(lead, list(in_batched), list(args)))
        return out, jax.tree.map(lambda _: True, out)

    return batched
