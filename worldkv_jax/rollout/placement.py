"""Worlds on many devices: heads split over one axis of a mesh, a chunk's tokens over another, worlds over a third.

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

HEADS_AXIS, WORLDS_AXIS, TOKENS_AXIS = "model", "data", "sequence"
"""Names of the axes of a mesh; any may be missing. What is remembered has its heads split over ``sequence`` as well."""


def start_on_mesh(
    backbone: Backbone, params: Any, config: MemoryConfig, mesh: Mesh, *, chunks: int | None = None, worlds: int = 1
) -> World:
    """Make a world that remembers nothing yet, split over a mesh; no device ever holds all of it.

    Args:
        backbone: the model.
        params: its parameters, placed on the same mesh.
        config: the memory.
        mesh: with some of the Auto axes ``model``, ``sequence`` and ``data``.
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
        mesh: with some of the Auto axes ``model``, ``sequence`` and ``data``.

    Returns:
        A `jax.sharding.NamedSharding` in place of each array.

    Raises:
        ValueError: heads or worlds that do not split evenly, or a mesh without the axes.
    """
    check_mesh(mesh)
    layout = world.memory.layout
    heads = tuple(name for name in (HEADS_AXIS, TOKENS_AXIS) if name in mesh.shape)
    worlds = WORLDS_AXIS if WORLDS_AXIS in mesh.shape else None

    def of_carry(leaf: Any, axis: int) -> NamedSharding:
        return split(mesh, *[None] * axis, worlds) if axis >= 0 else split(mesh)

    # As XLA gives them back: one axis by its name, not as a tuple of one.
    memory = shardings(world.memory, mesh, worlds=worlds, heads=heads if len(heads) > 1 else next(iter(heads), None))
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
    """Raise ValueError for a mesh that has none of the axes, or one that is not of type Auto."""
    known = HEADS_AXIS, WORLDS_AXIS, TOKENS_AXIS
    types = {name: kind for name, kind in zip(mesh.axis_names, mesh.axis_types) if name in known}
    if not types:
        raise ValueError(
            f"the mesh has the axes {mesh.axis_names}; expected {HEADS_AXIS!r} to split heads over, {TOKENS_AXIS!r} to "
            f"split a chunk's tokens over, {WORLDS_AXIS!r} to split worlds over, or some of them"
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
