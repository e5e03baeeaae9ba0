"""Weights of layers that wait in host memory: one of each group of layers, fetched while the layers before it run."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Sharding


class Offloaded(NamedTuple):
    """Stacked weights of ``L`` layers, which fall into ``N`` groups; the last layer of each waits in host memory."""

    resident: jax.Array  # [L - N, ...]
    waiting: jax.Array  # [N, ...] in pinned host memory

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the whole stack."""
        return len(self.resident) + len(self.waiting), *self.waiting.shape[1:]

    @property
    def dtype(self) -> Any:
        """Dtype of the weights."""
        return self.waiting.dtype


def is_offloaded(node: Any) -> bool:
    """Tell whether a node of a tree is a stack that waits in part, for ``is_leaf``."""
    return isinstance(node, Offloaded)


def wait(stack: jax.Array, groups: int, place: Sharding) -> Offloaded:
    """Let the last layer of each group wait in pinned host memory, and place all others.

    Args:
        stack: weights ``[L, ...]`` that a CPU holds: they never lie on the device together.
        groups: ``N``, which divides ``L``.
        place: of all layers.
    """
    grouped = np.asarray(stack).reshape(groups, -1, *stack.shape[1:])
    resident = grouped[:, :-1].reshape(-1, *stack.shape[1:])
    return Offloaded(
        jax.device_put(resident, place), jax.device_put(grouped[:, -1], place.with_memory_kind("pinned_host"))
    )


def stacked_layers(weights: Any) -> tuple[int, int]:
    """Return how many layers stacked weights have, and how many of them wait."""
    stack = jax.tree.leaves(weights, is_leaf=is_offloaded)[0]
    return stack.shape[0], len(stack.waiting) if is_offloaded(stack) else 0


def fetch_layer(waiting: Any, index: jax.Array) -> Any:
    """Bring one layer of stacks in host memory to the device, under jit."""

    def fetch(stack: jax.Array) -> jax.Array:
        layer = jax.lax.dynamic_slice_in_dim(stack, index, 1)
        return jax.device_put(layer, jax.memory.Space.Device)[0]

    return jax.tree.map(fetch, waiting)


Step = Callable[[Any, Any, jax.Array], tuple[Any, Any]]
"""Takes a carry, the weights of a layer and its number; returns the new carry, and a result."""


def scan_layers(step: Step, carry: Any, weights: Any, layers: range) -> tuple[Any, Any]:
    """Apply ``step(carry, weights of a layer, its number)`` to one layer after another; results are stacked.

    Of `Offloaded` stacks, what a group waits for is on its way while the group before it runs: two layers' weights lie
    on the device besides the resident ones.

    Args:
        step: of a layer.
        carry: what the first layer is given.
        weights: stacked weights ``[L, ...]`` of all layers, `Offloaded` all or none.
        layers: those to apply; of `Offloaded` stacks whole groups.

    Raises:
        ValueError: a part of a group.
    """
    depth, groups = stacked_layers(weights)
    if not groups:
        return _scan_resident(step, carry, weights, layers.start, layers.start, len(layers))[:2]
    size = depth // groups
    if layers.start % size or len(layers) % size:
        raise ValueError(f"{layers} is no whole number of groups of {size} layers; offload other numbers of layers")
    resident, waiting = (
        jax.tree.map(lambda stack, part=part: stack[part], weights, is_leaf=is_offloaded) for part in (0, 1)
    )

    def run_group(state: Any, _: None) -> tuple[Any, Any]:
        # All three are counted: only so does XLA know what lies where, and begins to fetch it early.
        group, index, number, carry, fetched = state
        ahead = fetch_layer(waiting, jnp.minimum(group + 1, groups - 1))
        parts = []
        if size > 1:
            carry, results, index, number = _scan_resident(step, carry, resident, index, number, size - 1)
            parts.append(results)
        carry, last = step(carry, fetched, number)
        parts.append(jax.tree.map(lambda one: one[None], last))
        results = jax.tree.map(lambda *runs: jnp.concatenate(runs), *parts)
        return (group + 1, index, number + 1, carry, ahead), results

    first = layers.start // size
    state = jnp.int32(first), jnp.int32(first * (size - 1)), jnp.int32(layers.start), carry
    state, results = jax.lax.scan(run_group, (*state, fetch_layer(waiting, state[0])), length=len(layers) // size)
    return state[3], jax.tree.map(lambda many: many.reshape(-1, *many.shape[2:]), results)


def _scan_resident(
    step: Step, carry: Any, weights: Any, start: int | jax.Array, first: int | jax.Array, count: int
) -> tuple[Any, Any, jax.Array, jax.Array]:
    """Apply ``count`` layers from a place and a number on, which lie on the device; also return those of the next."""

    def run_layer(state: Any, _: None) -> tuple[Any, Any]:
        index, number, carry = state
        layer = jax.tree.map(lambda stack: jax.lax.dynamic_index_in_dim(stack, index, keepdims=False), weights)
        carry, result = step(carry, layer, number)
        return (index + 1, number + 1, carry), result

    # Counted, not read from a list of numbers: only so does XLA know where the next layer lies, and fetches it early.
    (index, number, carry), results = jax.lax.scan(run_layer, (jnp.int32(start), jnp.int32(first), carry), length=count)
    return carry, results, index, number
