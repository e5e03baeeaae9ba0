"""Worlds on many devices: heads split over one axis of a mesh, the worlds of a batch over another.

Nothing else changes. A world that is placed so goes through the same step; XLA splits it as its inputs are.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from worldkv_jax.memory import MemoryConfig, WorldMemory
from worldkv_jax.rollout.backbone import Backbone
from worldkv_jax.rollout.chunk_step import World


def start_on_mesh(
    backbone: Backbone,
    params: Any,
    config: MemoryConfig,
    mesh: Mesh,
    *,
    chunks: int | None = None,
    worlds: int = 1,
    heads: str | None = "model",
    data: str | None = "data",
) -> World:
    """Make a world that remembers nothing yet, split over a mesh; no device ever holds all of it.

    Args:
        backbone: the model.
        params: its parameters, placed on the same mesh.
        config: the memory.
        mesh: with Auto axes.
        chunks: length of the rollout, observed chunks included; see `WorldMemory.create`.
        worlds: worlds in the batch.
        heads: mesh axis to split heads over; ``None`` for none.
        data: mesh axis to split worlds over; ``None`` for none.

    Raises:
        ValueError: as `world_shardings` and `WorldMemory.create`.
    """

    def make(params):
        memory = WorldMemory.create(config, backbone.spec, worlds=worlds, chunks=chunks)
        return World(memory, backbone.init_carry(params, worlds), jnp.int32(0))

    shardings = world_shardings(backbone, params, jax.eval_shape(make, params), mesh, heads=heads, data=data)
    return jax.jit(make, out_shardings=shardings)(params)


def world_shardings(
    backbone: Backbone, params: Any, world: World, mesh: Mesh, *, heads: str | None = "model", data: str | None = "data"
) -> World:
    """Say how a world is split over a mesh: keys and values by heads and worlds, the carry by worlds.

    Args:
        backbone: the model.
        params: its parameters, or their shapes.
        world: the world, or its shapes; one whose host bank holds nothing yet, and before a chunk is decoded.
        mesh: with Auto axes.
        heads: mesh axis to split heads over; ``None`` for none.
        data: mesh axis to split worlds over; ``None`` for none.

    Returns:
        A `jax.sharding.NamedSharding` in place of each array.

    Raises:
        ValueError: heads or worlds that do not split evenly, an axis that the mesh does not have, or one that is
            not of type Auto.
    """
    layout = world.memory.layout
    _check(mesh, heads, layout.spec.heads, "heads")
    _check(mesh, data, layout.worlds, "worlds")

    def put(*spec):
        return NamedSharding(mesh, P(*spec))

    def of_memory(path, leaf):
        if leaf.ndim >= 5:  # keys and values [..., B, tokens, N, H] and their scales
            return put(*[None] * (leaf.ndim - 4), data, None, heads, None)
        if leaf.ndim == 3:  # descriptions [C, B, D]
            return put(None, data, None)
        return put()

    def of_carry(leaf, axis):
        return put(*[None] * axis, data) if axis >= 0 else put()

    memory = jax.tree.map_with_path(of_memory, world.memory)
    carry = jax.tree.map(of_carry, world.carry, _world_axes(backbone, params, world.carry, layout.worlds))
    return World(memory, carry, put())


def _check(mesh: Mesh, axis: str | None, count: int, what: str) -> None:
    if axis is None:
        return
    if axis not in mesh.shape:
        raise ValueError(f"the mesh has no axis {axis!r}; it has {', '.join(map(repr, mesh.axis_names))}")
    if dict(zip(mesh.axis_names, mesh.axis_types))[axis] != AxisType.Auto:
        raise ValueError(
            f"axis {axis!r} of the mesh is not of type Auto, which lets XLA split a program as its inputs are; make it "
            "with jax.make_mesh(..., axis_types=(AxisType.Auto,) * n)"
        )
    if count % mesh.shape[axis]:
        raise ValueError(f"{count} {what} do not split evenly over the {mesh.shape[axis]} devices of axis {axis!r}")


def _world_axes(backbone: Backbone, params: Any, carry: Any, worlds: int) -> Any:
    """Find the axis of each leaf of the carry that counts worlds: the one that grows with them, or -1."""
    more = jax.eval_shape(lambda params: backbone.init_carry(params, worlds + 1), params)

    def axis(leaf, larger):
        grown = [i for i, (a, b) in enumerate(zip(leaf.shape, larger.shape)) if a != b]
        return grown[0] if grown else -1

    return jax.tree.map(axis, carry, more)
