"""Make long lists of tensors short: what differs only in one number is one line."""

import re
from collections.abc import Iterable, Mapping

_NUMBER = re.compile(r"(?<![^./])\d+(?![^./])")


def fold(names: Iterable[str]) -> list[str]:
    """Join names that differ only in their first number: ``blocks.{0-39}.ffn.0.weight``."""
    groups: dict[str, list[int]] = {}
    for name in names:
        match = _NUMBER.search(name)
        key = name if match is None else f"{name[: match.start()]}*{name[match.end() :]}"
        groups.setdefault(key, []).append(-1 if match is None else int(match[0]))
    lines = []
    for key, numbers in groups.items():
        text = str(numbers[0]) if len(numbers) == 1 else f"{{{_ranges(numbers)}}}"
        lines.append(key if numbers[0] < 0 else key.replace("*", text, 1))
    return lines


def fold_by_text(problems: Mapping[str, str]) -> list[str]:
    """Write ``name: problem`` lines, folding names that have the same problem."""
    groups: dict[str, list[str]] = {}
    for name, problem in problems.items():
        groups.setdefault(problem, []).append(name)
    return [f"{name}: {problem}" for problem, names in groups.items() for name in fold(names)]


def _ranges(numbers: Iterable[int]) -> str:
    """Write numbers as ``0-3,7``."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
