"""A memory on a mesh: how its arrays are split, and its verbs on a mesh of Explicit axes."""

import math
from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jax.tree_util import KeyPath


def shardings(memory: Any, mesh: Mesh, *, worlds: str | None = None, heads: str | tuple[str, ...] | None = None) -> Any:
    """Say how a memory is split over a mesh: give it to `jax.device_put`, or to `jax.jit` as ``out_shardings``.

    Args:
        memory: a `WorldMemory`, or its shapes.
        mesh: of Auto or of Explicit axes, the default of `jax.make_mesh`.
        worlds: axis of the mesh over which the worlds of the batch are split; ``None`` for no split.
        heads: axis over which the heads are split, or several of them.

    Returns:
        The memory with a `jax.sharding.NamedSharding` in place of each array.

    Raises:
        ValueError: worlds or heads that do not split evenly, or an axis that the mesh lacks.
    """
    for given, count, what in ((worlds, memory.layout.worlds, "worlds"), (heads, memory.layout.spec.heads, "heads")):
        names = (given,) if isinstance(given, str) else given or ()
        for name in names:
            if name not in mesh.shape:
                raise ValueError(
                    f"the mesh has the axes {mesh.axis_names}, none is called {name!r} to split {what} over"
                )
        devices = math.prod(mesh.shape[name] for name in names)
        if count % devices:
            axes = " and ".join(map(repr, names))
            raise ValueError(f"{count} {what} do not split evenly over the {devices} devices of axis {axes}")
    explicit = AxisType.Explicit in mesh.axis_types

    def split(path: KeyPath[Any], leaf: Any) -> NamedSharding:
        axes: list[str | tuple[str, ...] | None] = [None] * leaf.ndim
        if jax.tree_util.GetAttrKey("view") in path:  # of frames that wait, [B, ...]
            axes[0] = worlds
        elif leaf.ndim >= 5:  # keys and values [..., B, tokens, N, H], and their scales
            axes[-4], axes[-2] = worlds, heads
        elif leaf.ndim == 3:  # descriptions [C, B, D]
            axes[1] = worlds  # and scores of frames that wait [L, B, tokens]
        # As the programs give them back, or jit takes them for others and compiles again.
        while not explicit and axes and axes[-1] is None:
            axes.pop()
        return NamedSharding(mesh, P(*axes))

    return jax.tree.map_with_path(split, memory)


def is_explicit(*trees: Any) -> bool:
    """Tell whether any of the arrays lies on a mesh with Explicit axes."""
    return any(not _mesh(leaf).empty and AxisType.Explicit in _mesh(leaf).axis_types for leaf in jax.tree.leaves(trees))


def recall_along(recall: Callable[..., Any], memory: Any, view: Any, others: dict[str, Any]) -> Any:
    """Call ``recall(memory, view, **others)`` and split what it gives as the memory is."""
    _check_jittable(memory)
    keys = memory.window.ring.keys
    axes = jax.typeof(keys).sharding.spec
    by_rank = {5: axes, 2: (axes[1], None), 1: (axes[1],), 0: ()}
    arguments = (memory, view, others)
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), arguments)
    call = lambda memory, view, others: recall(memory, view, **others)  # noqa: E731
    out = jax.tree.map(lambda x: P(*by_rank[x.ndim]), jax.eval_shape(call, *shapes))
    return _along(call, out, arguments)


def remember_along(remember: Callable[..., Any], memory: Any, *others: Any) -> Any:
    """Call ``remember(memory, *others)`` and leave every array split as it is."""
    _check_jittable(memory)
    out = jax.tree.map(lambda x: jax.typeof(x).sharding.spec, memory)
    return _along(remember, out, (memory, *others))


def _along(call: Callable[..., Any], specs: Any, arguments: tuple[Any, ...]) -> Any:
    """Let XLA split a program along the axes; only what goes in and comes out is explicit."""
    mesh = next(_mesh(leaf) for leaf in jax.tree.leaves(arguments) if not _mesh(leaf).empty)
    out = jax.tree.map(lambda spec: NamedSharding(mesh, spec), specs, is_leaf=lambda x: isinstance(x, P))
    place = lambda x: x if not _mesh(x).empty else jax.sharding.reshard(x, NamedSharding(mesh, P()))  # noqa: E731
    return jax.sharding.auto_axes(call, out_sharding=out)(*jax.tree.map(place, arguments))


def _mesh(leaf: jax.Array) -> jax.sharding.AbstractMesh:
    return jax.typeof(leaf).sharding.mesh


def _check_jittable(memory: Any) -> None:
    if not memory.jittable:
        raise ValueError(
            f"bank.tier={memory.layout.bank.config.tier!r} needs a mesh of Auto axes: "
            "jax.make_mesh(..., axis_types=(jax.sharding.AxisType.Auto,) * n); or use tier='device'"
        )
