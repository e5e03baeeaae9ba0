"""Options dataclasses: documented once, validated, turned into flags and back."""

import argparse
import dataclasses
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from worldkv_jax.cli.flags import add_flags, add_released_flags, errors_in_flags, from_flags, ignored_flags
from worldkv_jax.memory import DEFAULT, PAPER, RULES, MemoryConfig
from worldkv_jax.sessions import (
    MemoryOptions,
    ModelOptions,
    ReleasedCommand,
    choose_memory,
    model_names,
    option,
    options_class,
)
from worldkv_jax.sessions.registry import model_options, open_model
from worldkv_jax.sessions.seeds import check_seed

RELEASED = ReleasedCommand(program="run.py", same={"--old_seed": "seed"}, ignored={"--gpus": 1, "--fast": 0})


@options_class
class Inner:
    """Options within options."""

    some_flag: bool = option(False, "a released switch", flag="--some_flag")
    count: int = option(6, "how many", metavar="N")


@options_class
class Outer:
    """Every kind of option."""

    name: str | None = option(None, "at 100 %", metavar="NAME", also="--called")
    many: tuple[str, ...] | str | None = option(None, "several", metavar="WORD")
    share: float = option(0.5, "a number")
    kind: Literal["a", "b"] = option("a", "one of two", group="kinds")
    size: str = option("s", "one of two as well", choices=("s", "m"))
    undecided: bool | None = option(None, "either way")
    out: Path = option(Path("x"), "a folder")
    inner: Inner | None = option(None, "the released ones", group=RELEASED.heading)

    def __post_init__(self):
        if not 0 < self.share <= 1:
            raise ValueError(f"`share` {self.share} is not in (0, 1]")


def parser():
    made = argparse.ArgumentParser(prog="x", allow_abbrev=False)
    add_flags(made, Outer)
    made.add_argument("--seed", type=int, default=0)
    add_released_flags(made, RELEASED)
    return made


def parse(*words):
    return from_flags(Outer, parser().parse_args(words))


@pytest.mark.parametrize("share", [float("nan"), float("inf")])
def test_numbers_are_finite(share):
    with pytest.raises(ValueError, match=r"`share` (nan|inf) is not a finite number"):
        Outer(share=share)


@pytest.mark.parametrize(
    ("cls", "given", "says"),
    [
        (Inner, {"count": 1.5}, "`count`=1.5 is no whole number"),
        (Inner, {"count": "6"}, "`count`='6' is no whole number"),
        (Outer, {"share": "0.5"}, "`share` '0.5' is not a number"),
    ],
)
def test_numbers_are_of_their_kind(cls, given, says):
    with pytest.raises(ValueError, match=says):
        cls(**given)


@pytest.mark.parametrize(("name", "field"), [("demo-world", "trajectory"), ("inspatio-world", "scene")])
def test_texts_are_texts_or_paths(name, field):
    with pytest.raises(ValueError, match=f"`{field}` 20 is neither a text nor a path"):
        open_model(name, **{field: 20})
    assert getattr(open_model(name, **{field: Path("a b")}), field) == "a b"


def test_numbers_of_numpy_are_taken():
    assert type(Inner(count=np.int64(3)).count) is int
    assert check_seed(np.uint64(2**64 - 1)) == 2**64 - 1


def test_what_is_not_given_is_the_default():
    assert parse() == Outer()
    assert Outer().inner is None


def test_each_kind_of_field():
    got = parse("--called", "me", "--many", "a", "b", "--many", "c", "--share", "1", "--kind", "b", "--no-undecided")
    assert got == Outer(name="me", many=("a", "b", "c"), share=1.0, kind="b", undecided=False)
    assert parse("--out", "y").out == Path("y")
    assert parse("--some_flag").inner == Inner(some_flag=True)


def test_a_released_command_line_goes_on_working():
    args = parser().parse_args(["--old_seed", "7", "--gpus", "8", "--fast"])
    assert args.seed == 7 and ignored_flags(args) == ["--gpus", "--fast"]
    assert "flags of the released run.py" in parser().format_help() and "--gpus" not in parser().format_help()


def test_options_document_and_validate_themselves():
    assert "share: a number." in Outer.__doc__ and "Every kind of option." in Outer.__doc__
    with pytest.raises(ValueError, match="unknown `kind` 'c'"):
        Outer(kind="c")
    with pytest.raises(ValueError, match="`share` 2 is not in"):
        Outer(share=2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        Outer().share = 1


def test_errors_are_worded_as_flags():
    made = parser()
    with (
        pytest.raises(ValueError, match=r"^--share is wrong, --no-undecided helps, `other` stays$"),
        errors_in_flags(made),
    ):
        raise ValueError("`share` is wrong, `undecided=False` helps, `other` stays")


@pytest.mark.parametrize("name", model_names())
def test_every_option_of_every_model_is_documented(name):
    cls = model_options(name)
    assert all(field.metadata["option"].help for field in dataclasses.fields(cls))


def test_help_names_every_rule():
    """Written out, because help does without JAX and whatever needs it."""
    (rule,) = (field for field in dataclasses.fields(MemoryOptions) if field.name == "rule")
    assert set(rule.metadata["option"].help.split(": ")[1].split(", ")) == set(RULES)


def test_memory_options_change_what_the_model_has():
    own = dataclasses.replace(DEFAULT, sink_frames=0)
    native = MemoryConfig(mode="sliding", recent_frames=5)
    assert choose_memory(None, own, native) == own
    assert choose_memory(PAPER, own, native) == PAPER
    assert choose_memory(MemoryOptions(tier="host"), own).bank.tier == "host"
    assert choose_memory(MemoryOptions(tier="host"), own).sink_frames == 0
    assert choose_memory(MemoryOptions(memory="sliding"), own, native) == native
    assert choose_memory(MemoryOptions(memory="sliding", recent=2), own, native).recent_frames == 2
    assert choose_memory(MemoryOptions(memory="full"), own, native) == MemoryConfig(mode="full")
    assert choose_memory(MemoryOptions(profile="paper"), own) == PAPER
    # A model whose own memory has no bank gets one when it is asked for.
    assert choose_memory(MemoryOptions(retrieve=2), native).retrieval.chunks == 2
    assert choose_memory(MemoryOptions(memory="sink-recent"), own).mode == "sink_recent"


@options_class
class Echoing(ModelOptions):
    """Opens what it is asked for."""

    OPENED_BY = "tests.sessions.test_options:echo"


def echo(options, memory, *, weights, decode):
    return memory


def test_no_changes_to_a_memory_are_none():
    """A port whose other flags choose the memory took them for a second choice."""
    assert Echoing().check(MemoryOptions()) is None
    assert Echoing().check(MemoryOptions(retrieve=2)) == MemoryOptions(retrieve=2)
    assert Echoing().check(PAPER) is PAPER


@pytest.mark.parametrize("asked", [{"retrieve": 3}, {"profile": "paper"}, {"tier": "host"}])
def test_a_memory_without_a_bank_has_no_such_options(asked):
    with pytest.raises(ValueError, match=f"`memory` full has no bank, so `{next(iter(asked))}` means nothing"):
        MemoryOptions(memory="full", **asked).resolve(DEFAULT)
