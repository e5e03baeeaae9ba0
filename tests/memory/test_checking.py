"""A rule of one's own is tried on shapes alone, and all that is wrong with it is said."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from tests.memory.test_own_rules import AttentionReceived, Learned, LearnedRetrieval, TwoPlayers, ValueNorm
from tests.memory.walks import SPEC
from worldkv_jax import memory as wm

RIGHT = {
    **wm.RULES,
    "value norm": ValueNorm(),
    "attention received": AttentionReceived(),
    "learned": Learned(jnp.zeros((2, 8))),
    "learned retrieval": LearnedRetrieval(jnp.zeros((6, 4))),
    "two players": TwoPlayers(),
}


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize("spec", [SPEC, dataclasses.replace(SPEC, chunk_frames=1, store_frames=4)])
def test_rules_that_work_pass(name, spec):
    wm.check_rule(RIGHT[name], spec)


@dataclasses.dataclass(frozen=True)
class Wrong:
    """A retrieval rule with a fault."""

    fault: str
    weights: Any = None

    def describe(self, cameras, keys):
        description = cameras[:, :3, 3].mean(axis=0)
        return description[None] if self.fault == "rank" else description

    def describe_query(self, cameras, query):
        return cameras.cell if self.fault == "cell" else cameras[:, :3, 3].mean(axis=0)

    def score(self, query, index, valid):
        distance = jnp.abs(index - query[None]).sum(axis=-1)
        return {"column": distance[:, None], "whole": distance.astype(jnp.int32)}.get(self.fault, distance)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("rank", r"describe gives float32\[1, 3\], expected one float32\[D\]"),
        ("cell", r"describe_query\(float32\[3, 4, 4\], None\) raises AttributeError: .*cell"),
        ("column", r"score\(.*\) gives float32\[5, 1\], expected float32\[5\]"),
        ("whole", r"gives int32\[5\], expected float32\[5\]"),
    ],
)
def test_a_wrong_retrieval_rule_is_told_what_is_wrong(fault, says):
    with pytest.raises(ValueError, match=rf"Wrong does not fit:\n.*{says}"):
        wm.check_rule(Wrong(fault), SPEC)


def test_a_wrong_compression_rule_is_told_what_is_wrong():
    class Total:
        def score(self, span, scores, *, frames):
            return span.values.sum(axis=(0, 2, 3))

    with pytest.raises(ValueError, match=r"score.* gives float32\[12\], expected float32\[2, 12\]"):
        wm.check_rule(Total(), SPEC)

    class NoFrames:
        def score(self, span, scores):
            return scores

    with pytest.raises(ValueError, match=r"raises TypeError: .*unexpected keyword argument 'frames'"):
        wm.check_rule(NoFrames(), SPEC)


def test_a_rule_that_is_never_equal_would_compile_anew():
    class Alone(Wrong):
        __eq__, __hash__ = object.__eq__, object.__hash__

    with pytest.raises(ValueError, match="compiles anew"):
        wm.check_rule(Alone("none"), SPEC)
    assert jax.tree.structure(Alone("none")) == jax.tree.structure(0)
