"""Retrieval rules, one a file: by name, and the check of a user's own."""

from typing import Any

from worldkv_jax.memory.retrieval import Rule
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
    lacks = [name for name in ("describe", "describe_query", "score") if not callable(getattr(rule, name, None))]
    if lacks or isinstance(rule, type):
        why = f"it lacks {', '.join(lacks)}" if lacks else "it is a class, not an instance of one"
        raise ValueError(
            f"retrieval.rule={rule!r} is no retrieval rule: {why}; give a frozen dataclass with describe, "
            f"describe_query and score, or one of the names {', '.join(sorted(RULES))}"
        )
    try:
        hash(rule)
    except TypeError:
        raise ValueError(
            f"retrieval.rule={rule!r} cannot be hashed, and it is part of the jit key; make it a frozen dataclass "
            "whose fields are numbers, strings or tuples"
        ) from None
    return rule


class RuleOrName:
    """A dataclass field that takes a rule or the name of one, and gives the rule."""

    def __init__(self, default: str):
        self.default = rule_named(default)

    def __get__(self, instance: Any, owner: type | None = None) -> Rule:
        return self.default if instance is None else vars(instance)["rule"]

    def __set__(self, instance: Any, rule: str | Rule) -> None:
        vars(instance)["rule"] = as_rule(rule)
