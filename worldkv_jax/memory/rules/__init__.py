"""Retrieval rules, one a file: by name, and the check of a user's own."""

from typing import Any

from worldkv_jax.memory.retrieval import Rule
from worldkv_jax.memory.rule_arrays import structure_of
from worldkv_jax.memory.rules.attention import AttentionScore
from worldkv_jax.memory.rules.camera import CameraDistance
from worldkv_jax.memory.rules.controls import MostRecent, RandomChoice
from worldkv_jax.memory.rules.coverage import ViewCoverage
from worldkv_jax.memory.rules.overlap import ViewOverlap
from worldkv_jax.names import check_name

RULES: dict[str, Rule] = {
    "camera": CameraDistance(),
    "paper": CameraDistance(rotation_mean="elementwise"),
    "released": CameraDistance(rotation_mean="elementwise", squared_translation=True),
    "overlap": ViewOverlap(),
    "coverage": ViewCoverage(),
    "attention": AttentionScore(),
    "random": RandomChoice(),
    "recent": MostRecent(),
}


def rule_named(name: str) -> Rule:
    """Return a built-in retrieval rule by its name."""
    return RULES[check_name("retrieval rule", name, RULES)]


def as_rule(rule: str | Rule) -> Rule:
    """Return a rule given by name, or check one of the user's own.

    Raises:
        ValueError: an unknown name, or something that is no rule or not hashable.
    """
    if isinstance(rule, str):
        return rule_named(rule)
    names = f"or one of the names {', '.join(sorted(RULES))}"
    advice = f"give a frozen dataclass with describe, describe_query and score, {names}"
    check_methods("retrieval.rule", rule, ("describe", "describe_query", "score"), advice)
    return structure_of(rule)


def check_methods(name: str, rule: Any, methods: tuple[str, ...], advice: str) -> None:
    """Check a rule of the user's own: its methods, and that it can be part of the jit key.

    Raises:
        ValueError: a method is missing, or the rule, its arrays apart, is not hashable.
    """
    lacks = [method for method in methods if not callable(getattr(rule, method, None))]
    if lacks or isinstance(rule, type):
        why = f"it lacks {', '.join(lacks)}" if lacks else "it is a class, not an instance of one"
        raise ValueError(f"{name}={rule!r} is no {name.split('.')[0]} rule: {why}; {advice}")
    try:
        hash(structure_of(rule))
    except TypeError:
        raise ValueError(
            f"{name}={rule!r} cannot be hashed, and it is part of the jit key; make it a frozen dataclass whose fields "
            "are numbers, strings or tuples, and if some are arrays a pytree (jax.tree_util.register_dataclass)"
        ) from None


class RuleOrName:
    """A dataclass field that takes a rule or the name of one, and gives the rule."""

    def __init__(self, default: str):
        self.default = rule_named(default)

    def __get__(self, instance: Any, owner: type | None = None) -> Rule:
        return self.default if instance is None else vars(instance)["rule"]

    def __set__(self, instance: Any, rule: str | Rule) -> None:
        vars(instance)["rule"] = as_rule(rule)
