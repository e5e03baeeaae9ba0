"""A Wan-style transformer on many devices: which parameters are split, and which activations stay whole.

Two linear maps in a row are split so that only the result of the second has to be summed over devices (Megatron-LM):
the first by its outputs, which are heads or hidden units, the second by its inputs.

A chunk's own tokens can be split as well (DeepSpeed-Ulysses): each device has whole layers and some of the tokens, and
only around self-attention exchanges them for some of the heads.
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import jax
from jax.sharding import AxisType, Mesh
from jax.sharding import PartitionSpec as P

from worldkv_jax.rollout.placement import HEADS_AXIS, TOKENS_AXIS, WORLDS_AXIS, check_mesh, split

_HEADS, _FSDP = "heads", "fsdp"
_ATTENTION = r"(self|cross)_attn"
# By the end of a parameter's path; of its last axes, because layers are stacked before them.
_RULES = tuple(
    (re.compile(rf"(^|/){path}$"), roles)
    for path, roles in (
        (rf"{_ATTENTION}/[qkv]/kernel", (_FSDP, _HEADS)),
        (rf"{_ATTENTION}/[qkv]/bias", (_HEADS,)),
        (rf"{_ATTENTION}/norm_[qk]/weight", (_HEADS,)),
        (rf"{_ATTENTION}/o/kernel", (_HEADS, _FSDP)),
        (r"first/kernel", (_FSDP, _HEADS)),
        (r"first/bias", (_HEADS,)),
        (r"second/kernel", (_HEADS, _FSDP)),
        # By inputs although nothing is split before: the result meets the residual stream, which stays whole.
        (r"camera/(scale|shift)/kernel", (_HEADS, _FSDP)),
    )
)
_STACKED = re.compile(r"(^|/)blocks/")
Axes = Mapping[int, str | tuple[str, ...]]
"""Axes of the mesh by axis of an array."""
# Of an array [B, T, ...], and of one [B, n, N, H].
_BY_TOKENS = {0: WORLDS_AXIS, 1: TOKENS_AXIS}
_BY_HEADS = {0: WORLDS_AXIS, 2: (HEADS_AXIS, TOKENS_AXIS)}


def param_shardings(params: Any, mesh: Mesh, *, fsdp: bool = False) -> Any:
    """Say how the parameters of a backbone are split over a mesh with axes ``model`` and ``data``.

    Heads and hidden units are split over ``model``. What has neither (embeddings, norms, action modules, a decoder)
    is whole on every device: about a hundredth of LingBot-World. Over ``sequence`` nothing is split.

    Args:
        params: of a Wan-style transformer or a pytree that has one in it, of arrays or `jax.ShapeDtypeStruct`.
        mesh: given by the caller, with Auto axes; run under ``jax.set_mesh`` of it, see `split_tokens`.
        fsdp: also spread the blocks' kernels over ``data``, so that a device only holds a part of them; those of a
            layer are brought together when it runs.

    Returns:
        A `jax.sharding.NamedSharding` for each parameter, for ``jax.device_put`` or a loader.

    Raises:
        ValueError: a mesh without the axes, a split that does not come out even, or no transformer in ``params``.
    """
    check_mesh(mesh)
    if fsdp and WORLDS_AXIS not in mesh.shape:
        raise ValueError(f"fsdp spreads weights over axis {WORLDS_AXIS!r}, which the mesh does not have")
    axes = {_HEADS: HEADS_AXIS, _FSDP: WORLDS_AXIS if fsdp else None}
    found = False

    def shard(path, leaf):
        nonlocal found
        path = jax.tree_util.keystr(path, simple=True, separator="/")
        parameter, _, part = path.partition("kernel/")
        roles = next((roles for pattern, roles in _RULES if pattern.search(parameter + "kernel" if part else path)), ())
        if part:  # in eight bits: transposed, with a scale for each output
            roles = roles[::-1] if part == "values" else (*roles[1:], None)
        found |= bool(roles)
        spec: list[str | None] = [None] * len(leaf.shape)
        for axis, role in enumerate(roles, start=len(spec) - len(roles)):
            name = axes.get(role) if role is not None else None
            if name is None or name not in mesh.shape or (role == _FSDP and not _STACKED.search(path)):
                continue
            if leaf.shape[axis] % mesh.shape[name]:
                raise ValueError(
                    f"{path} {leaf.shape}: axis {axis} does not split evenly over the {mesh.shape[name]} devices of "
                    f"{name!r}; use fewer"
                )
            spec[axis] = name
        return split(mesh, *spec)

    shardings = jax.tree.map_with_path(shard, params)
    if not found:
        raise ValueError("there is nothing to split: expected parameters of a Wan-style transformer, with its blocks")
    return shardings


def split_tokens(x: jax.Array) -> jax.Array:
    """Split activations ``[B, T, d]`` by worlds and tokens alone, under ``jax.set_mesh``; elsewhere do nothing.

    XLA carries a split on from where it is given to whatever it fits. The residual stream would be split by width,
    and gathered again before every linear map.
    """
    return _pin(x, _BY_TOKENS)


def split_heads(x: jax.Array) -> jax.Array:
    """Split rows ``[B, n, N, H]`` that tokens attend to by worlds and heads, under ``jax.set_mesh``; else do nothing.

    XLA may well leave some of them whole, and cuDNN's attention takes none that are split differently.
    """
    return _pin(x, _BY_HEADS)


def exchange_for_heads(x: jax.Array) -> jax.Array:
    """Give each device some heads of all tokens ``[B, T, N, H]`` for all heads of its own; nothing without the axis."""
    if TOKENS_AXIS not in jax.sharding.get_abstract_mesh().shape:
        return x
    return split_heads(_pin(x, _BY_TOKENS | {2: HEADS_AXIS}))


def exchange_for_tokens(x: jax.Array) -> jax.Array:
    """Undo `exchange_for_heads`."""
    if TOKENS_AXIS not in jax.sharding.get_abstract_mesh().shape:
        return x
    return _pin(split_heads(x), _BY_TOKENS | {2: HEADS_AXIS})


def over_heads(attend: Callable[..., jax.Array], query: jax.Array, key, value, length) -> jax.Array:
    """Attend on every device to its own worlds and heads, under ``jax.set_mesh``; elsewhere just attend.

    Said and not left to XLA: it cannot split a kernel that it does not know.

    Args:
        attend: takes all that follows.
        query, key, value: ``[B, ..., N, H]``.
        length: int32 ``[B]`` or ``None``.
    """
    return _attend_apart(attend, _BY_HEADS, _BY_HEADS, query, key, value, length)


def over_tokens(attend: Callable[..., jax.Array], query: jax.Array, key, value, length) -> jax.Array:
    """Do the same where all tokens attend to the same few rows, which every device then has for its tokens."""
    rows = {0: WORLDS_AXIS, 2: HEADS_AXIS}
    return _attend_apart(attend, _BY_TOKENS | rows, rows, query, key, value, length)


def _attend_apart(attend, of_queries: Axes, of_rows: Axes, query, key, value, length) -> jax.Array:
    asked, rows = P(*_axes(query, of_queries)), P(*_axes(key, of_rows))
    if not any(asked):
        return attend(query, key, value, length)
    specs = asked, rows, rows, None if length is None else P(asked[0])
    mesh = jax.sharding.get_abstract_mesh()
    return jax.shard_map(attend, mesh=mesh, in_specs=specs, out_specs=asked, check_vma=False)(query, key, value, length)


def _pin(x: jax.Array, axes: Axes) -> jax.Array:
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or any(kind != AxisType.Auto for kind in mesh.axis_types):
        return x
    return jax.lax.with_sharding_constraint(x, P(*_axes(x, axes)))


def _axes(x: jax.Array, axes: Axes) -> list[str | tuple[str, ...] | None]:
    """Name the axes of the mesh for each axis of an array: none where there are none, or where they do not divide."""
    mesh = jax.sharding.get_abstract_mesh()
    spec: list[str | tuple[str, ...] | None] = [None] * x.ndim
    if not mesh.empty and all(kind == AxisType.Auto for kind in mesh.axis_types):
        for axis, given in axes.items():
            names = tuple(name for name in ((given,) if isinstance(given, str) else given) if name in mesh.shape)
            if names and x.shape[axis] % math.prod(mesh.shape[name] for name in names) == 0:
                spec[axis] = names[0] if len(names) == 1 else names
    return spec
