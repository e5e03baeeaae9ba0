"""What the commands of all benchmarks share: how each is added, and its parameters of the flags that were given."""

import argparse
import dataclasses
from collections.abc import Callable
from typing import Any


def add_benchmark(benchmarks: Any, name: str, text: str, run: Callable[[argparse.Namespace], None]) -> Any:
    """Add the sub-command of a benchmark to those of ``worldkv bench``; return its parser."""
    parser = benchmarks.add_parser(name, help=text, description=text, allow_abbrev=False)
    parser.set_defaults(measure=run)
    return parser


def add_group(parser: argparse.ArgumentParser) -> Callable[..., argparse.Action]:
    """Add the group of a benchmark's own flags, with its folder; return what adds another.

    A flag that is not given is not in the namespace: defaults are those of the benchmark's dataclass, see `given_to`.
    """
    group = parser.add_argument_group("benchmark", argument_default=argparse.SUPPRESS)
    group.add_argument(
        "--out", default="outputs/bench", metavar="DIR", help="folder of the results (default: outputs/bench)"
    )
    return group.add_argument


def given_to(cls: Any, args: argparse.Namespace) -> dict[str, Any]:
    """Return those fields of a dataclass for which flags were given; several values as a tuple."""
    given = {field.name: getattr(args, field.name) for field in dataclasses.fields(cls) if field.name in args}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
