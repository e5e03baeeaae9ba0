"""Worlds on many devices: heads split over one axis of a mesh, the worlds of a batch over another.

Nothing else changes. A world that is placed so goes through the same step; XLA splits it as its inputs are.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from worldkv_jax.memory import MemoryConfig, WorldMemory, shardings
from worldkv_jax.rollout.backbone import Backbone
from worldkv_jax.rollout.world import World

HEADS_AXIS, WORLDS_AXIS = "model", "data"
"""Names of the axes of a mesh; either may be missing."""


def start_on_mesh(
    backbone: Backbone, params: Any, config: MemoryConfig, mesh: Mesh, *, chunks: int | None = None, worlds: int = 1
) -> World:
    """Make a world that remembers nothing yet, split over a mesh; no device ever holds all of it.

    Args:
        backbone: the model.
        params: its parameters, placed on the same mesh.
        config: the memory.
        mesh: with Auto axes ``model``, ``data`` or both.
        chunks: length of the rollout, observed chunks included; see `WorldMemory.create`.
        worlds: worlds in the batch.

    Raises:
        ValueError: as `world_shardings` and `WorldMemory.create`.
    """

    def make(params: Any) -> World:
        memory = WorldMemory.create(config, backbone.spec, worlds=worlds, chunks=chunks)
        return World(memory, backbone.init_carry(params, worlds), jnp.int32(0))

    placed = world_shardings(backbone, params, jax.eval_shape(make, params), mesh)
    return jax.jit(make, out_shardings=placed)(params)


def world_shardings(backbone: Backbone, params: Any, world: World, mesh: Mesh) -> World:
    """Say how a world is split over a mesh: keys and values by heads and worlds, the carry by worlds.

    Args:
        backbone: the model.
        params: its parameters, or their shapes.
        world: the world or its shapes, before the first chunk.
        mesh: with Auto axes ``model``, ``data`` or both.

    Returns:
        A `jax.sharding.NamedSharding` in place of each array.

    Raises:
        ValueError: heads or worlds that do not split evenly, or a mesh without the axes.
    """
    check_mesh(mesh)
    layout = world.memory.layout
    heads, worlds = (name if name in mesh.shape else None for name in (HEADS_AXIS, WORLDS_AXIS))

    def of_carry(leaf: Any, axis: int) -> NamedSharding:
        return split(mesh, *[None] * axis, worlds) if axis >= 0 else split(mesh)

    memory = shardings(world.memory, mesh, worlds=worlds, heads=heads)
    carry = jax.tree.map(of_carry, world.carry, _world_axes(backbone, params, world.carry, layout.worlds))
    position: Any = split(mesh)
    return World(memory, carry, position)


def split(mesh: Mesh, *axes: str | None) -> NamedSharding:
    """Split the leading axes of an array over axes of a mesh; ``None`` keeps one whole."""
    # jit takes a spec that ends in None for another one than XLA gives back, and would compile again.
    while axes and axes[-1] is None:
        axes = axes[:-1]
    return NamedSharding(mesh, P(*axes))


def check_mesh(mesh: Mesh) -> None:
    """Raise ValueError for a mesh that has neither axis, or one that is not of type Auto."""
    types = {name: kind for name, kind in zip(mesh.axis_names, mesh.axis_types) if name in (HEADS_AXIS, WORLDS_AXIS)}
    if not types:
        raise ValueError(
            f"the mesh has the axes {mesh.axis_names}; expected {HEADS_AXIS!r} to split heads over, {WORLDS_AXIS!r} to "
            "split worlds over, or both"
        )
    if any(kind != AxisType.Auto for kind in types.values()):
        raise ValueError(
            f"the axes of the mesh are of type {mesh.axis_types}; XLA splits a program as its inputs are along Auto "
            "ones: jax.make_mesh(..., axis_types=(AxisType.Auto,) * n)"
        )


def _world_axes(backbone: Backbone, params: Any, carry: Any, worlds: int) -> Any:
    """Find the axis of each leaf of the carry that counts worlds: the one that grows with them, or -1."""
    more = jax.eval_shape(lambda params: backbone.init_carry(params, worlds + 1), params)

    def axis(leaf: Any, larger: Any) -> int:
        grown = [i for i, (a, b) in enumerate(zip(leaf.shape, larger.shape)) if a != b]
        return grown[0] if grown else -1

    return jax.tree.map(axis, carry, more)
