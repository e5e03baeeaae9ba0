"""A world between two chunks, and worlds that share what they hold until one of them goes on."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.struct
import jax
from jax.core import Tracer
from jaxtyping import Array, Int32

from worldkv_jax.memory import WorldMemory


class Shared(flax.struct.PyTreeNode):
    """Marks a world whose buffers others hold as well: its next step copies what it would consume."""


class World(NamedTuple):
    """All state of a rollout between chunks; a pytree."""

    memory: WorldMemory
    carry: Any  # the backbone's own state
    position: Int32[Array, ""]  # chunks made: the id of the chunk that comes next
    decoder: Any = None  # of a streaming decoder, once a chunk is decoded
    shared: Shared | None = None  # after `fork`


def fork(world: World, count: int = 2) -> tuple[World, ...]:
    """Branch a world: each branch goes on as if it were alone, and none can change another.

    Takes no time and no bytes. The first step of a branch copies window, carry and decoder, and no later one; stored
    chunks stay shared, but for a bank in one array (``tier="device"``), which is copied as well: see
    `worldkv_jax.memory.report.fork_bytes`.

    Args:
        world: what to branch; go on with what is returned in its place.
        count: branches, the one that takes the world's own place included.

    Raises:
        ValueError: less than one branch.
    """
    if count < 1:
        raise ValueError(f"count={count}: a world has at least one branch, itself")
    return (world._replace(shared=Shared()),) * count


def unshare(world: World) -> World:
    """Return a world that may be consumed: of a fork, a copy of what a step consumes; else the world itself.

    Raises:
        ValueError: the world is consumed already, or was forked and then itself used again.
    """
    check_unconsumed(world)
    if world.shared is None:
        return world
    return snapshot(world)._replace(shared=None)


def snapshot(world: World) -> World:
    """Copy what a step consumes, to keep a world that goes on; the copy itself is a fork, and can be kept for good.

    On the device, and without waiting for it.

    Raises:
        ValueError: the world is consumed already.
    """
    return map_consumed(_copy, world)._replace(shared=Shared())


def map_consumed(apply: Callable[[Any], Any], world: World) -> World:
    """Apply a function to the parts of a world that a step consumes: all but stored chunks of their own."""
    return world._replace(
        memory=world.memory.map_consumed(apply),
        carry=apply(world.carry),
        position=apply(world.position),
        decoder=apply(world.decoder),
    )


def check_unconsumed(world: World) -> None:
    """Raise ValueError for a world whose buffers a step has consumed."""
    # All of them: one that somebody has read may be left over, such as a number (jax 0.11).
    map_consumed(functools.partial(jax.tree.map, _there), world)


def _copy(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: _there(leaf).copy(), tree)


def _there(leaf: Any) -> Any:
    if isinstance(leaf, jax.Array) and not isinstance(leaf, Tracer) and leaf.is_deleted():
        raise ValueError(
            "the buffers of this world are gone: a step consumed them. A step consumes the world that it is given: go "
            "on with what the rollout returned; and what goes on after a fork is what `fork` returned, not what it was "
            "given"
        )
    return leaf
