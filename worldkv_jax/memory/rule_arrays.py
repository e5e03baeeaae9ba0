"""Rules that carry arrays, such as learned weights: their structure is part of a memory, their arrays are beside it."""

from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax.tree_util import all_leaves

AnyRule = TypeVar("AnyRule")


class RuleArrays(NamedTuple):
    """The arrays of both rules of a memory, empty where a rule has none."""

    retrieval: tuple[Any, ...] = ()
    compression: tuple[Any, ...] = ()


NO_ARRAYS = RuleArrays()


def structure_of(rule: AnyRule) -> AnyRule:
    """Return a rule with shapes in place of its arrays, which is hashable; a rule that is no pytree as it is."""
    return rule if _is_static(rule) else jax.tree.map(_shape, rule)


def carries_arrays(structure: Any) -> bool:
    """Tell whether a rule of this structure has arrays, that are to be given with every call."""
    return not _is_static(structure) and bool(jax.tree.leaves(structure))


def arrays_of(structure: Any, rule: Any, name: str) -> tuple[Any, ...]:
    """Return the arrays of the rule that goes with a memory.

    Args:
        structure: of the rule that the memory was made for.
        rule: the rule itself; ``None`` is enough for one without arrays.
        name: of the rule in the configuration, for errors.

    Raises:
        ValueError: a rule that carries arrays and was not given, or another one than the memory was made for.
    """
    if rule is None:
        if not carries_arrays(structure):
            return ()
        raise ValueError(
            f"{name}={type(structure).__name__} carries arrays, which are no part of the memory: give the rule itself "
            "with every call, as `rule=` of recall and remember, or as `compression_rule=` of remember"
        )
    if (here := structure_of(rule)) != structure:
        raise ValueError(f"the memory was made with {name}={structure!r}, not with {here!r}")
    return () if _is_static(rule) else tuple(jax.tree.leaves(rule))


def with_arrays(structure: AnyRule, arrays: tuple[Any, ...]) -> AnyRule:
    """Return the rule of a structure and the arrays of `arrays_of`."""
    return jax.tree.unflatten(jax.tree.structure(structure), arrays) if arrays else structure


def _is_static(rule: Any) -> bool:
    return rule is None or all_leaves([rule])


def _shape(leaf: Any) -> jax.ShapeDtypeStruct:
    if isinstance(leaf, jax.ShapeDtypeStruct):
        return leaf
    return jax.ShapeDtypeStruct(jnp.shape(leaf), jnp.result_type(leaf))
