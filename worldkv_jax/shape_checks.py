"""Somebody else's functions tried on shapes alone: all that is wrong with them is said at once."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


class ShapeChecks:
    """Collects what is wrong, so that all of it is said at once."""

    def __init__(self) -> None:
        self.wrong: list[str] = []

    def add(self, what: str) -> None:
        """Note something that is wrong."""
        self.wrong.append(what)

    def expect(self, right: bool, otherwise: str) -> None:
        """Note something unless it is right."""
        if not right:
            self.add(otherwise)

    def call(self, name: str, function: Callable, *given: Any) -> Any:
        """Return the shapes that a function makes of shapes, or note its error and return ``None``."""
        try:
            return jax.eval_shape(function, *given)
        except Exception as error:  # whatever a method of somebody else's raises is what is wrong with it
            first = (str(error).strip() or "no message").splitlines()[0]
            self.add(f"{name}{show(given)} raises {type(error).__name__}: {first}")
            return None

    def returns(self, name: str, function: Callable, given: tuple, expected: Any, *, any_float: bool = False) -> Any:
        """Note a function that makes something else than is expected; return what it makes."""
        made = self.call(name, function, *given)
        if made is not None and not self.same(made, expected, any_float=any_float):
            self.add(f"{name}{show(given)} gives {show(made)}, expected {show(expected)}")
        return made

    @staticmethod
    def same(made: Any, expected: Any, *, any_float: bool = False) -> bool:
        """Tell whether shapes and dtypes are the same; with ``any_float`` of floats any."""
        if jax.tree.structure(made) != jax.tree.structure(expected):
            return False
        pairs = zip(jax.tree.leaves(made), jax.tree.leaves(expected))
        floats = lambda *leaves: any_float and all(jnp.issubdtype(x.dtype, jnp.floating) for x in leaves)  # noqa: E731
        return all(a.shape == b.shape and (a.dtype == b.dtype or floats(a, b)) for a, b in pairs)

    def finish(self, title: str) -> None:
        """Raise ValueError with all that was noted, if anything was."""
        if self.wrong:
            raise ValueError(f"{title}:\n" + "\n".join(f"  {what}" for what in self.wrong))


def show(tree: Any) -> str:
    """Write a pytree with ``float32[3, 4]`` in place of its arrays."""
    return str(jax.tree.map(_Shape, tree))


class _Shape:
    def __init__(self, leaf: Any) -> None:
        self.leaf = leaf

    def __repr__(self) -> str:
        leaf = self.leaf
        return f"{jnp.dtype(leaf.dtype).name}{list(leaf.shape)}" if hasattr(leaf, "shape") else str(leaf)
