"""Series of files in the order of the numbers in their names: 0, 1, 2, 10, not 0, 1, 10, 2."""

import itertools
import os
import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from fnmatch import translate
from pathlib import Path

_DIGITS = re.compile(r"(\d+)")
_DECIMAL = re.compile(r"(\d+(?:\.\d+)?)")


def find_series(
    folder: str | os.PathLike[str], *patterns: str, tell: Callable[[str], object] = warnings.warn
) -> list[Path]:
    """Find the files of a folder whose names fit one of some patterns, in the order of their numbers.

    Names that begin with a dot are passed over: macOS leaves ``._NAME`` beside every file on a foreign disk.

    Args:
        folder: where they lie; one that is not there has none.
        patterns: of names, as the shell's, in either case: ``*.png`` finds ``A.PNG``. None: all files.
        tell: is told of gaps in the numbers.

    Returns:
        The files, see `in_order`.

    Raises:
        ValueError: two files with one number, or names whose order is in doubt.
    """
    folder = Path(folder)
    if not folder.is_dir():
        return []
    shown = [entry for entry in os.scandir(folder) if not entry.name.startswith(".") and entry.is_file()]
    fits = re.compile("|".join(map(translate, patterns or ("*",))), re.IGNORECASE).fullmatch
    return in_order([folder / entry.name for entry in shown if fits(entry.name)], tell=tell)


def in_order(paths: Iterable[str | os.PathLike[str]], *, tell: Callable[[str], object] = warnings.warn) -> list[Path]:
    """Sort files by the numbers in their names, compared as numbers, then by the text around them.

    Args:
        paths: of the files.
        tell: is told where one number counts the files and some are missing.

    Returns:
        The paths in order.

    Raises:
        ValueError: two names that differ only in how a number is written (``1`` and ``01``) or in their suffix
            (``1.png`` and ``1.jpg``), or numbers with fractions of different lengths, which may be meant either way.
    """
    paths = sorted(map(Path, paths))
    ordered = sorted(paths, key=lambda path: _key(path, _DIGITS))
    if [*map(str, ordered)] != [*map(str, sorted(paths, key=lambda path: _key(path, _DECIMAL)))]:
        first, second = _in_doubt(paths)
        raise ValueError(
            f"{first} and {second}: it is not clear which comes first, for numbers in their names have fractions of "
            "different lengths; write all with as many digits"
        )
    for first, second in itertools.pairwise(ordered):
        if _key(first, _DIGITS)[:2] == _key(second, _DIGITS)[:2]:
            raise ValueError(f"{first} and {second.name} have one number; a series has one file for each: remove one")
    _tell_of_gaps(ordered, tell)
    return ordered


def numbers_of(paths: Sequence[Path]) -> list[int] | None:
    """Return the number that counts the files of a series.

    Returns:
        One number a file; ``None`` where the names differ in their text, or in no number or in several.
    """
    split = [_DIGITS.split(path.stem) for path in paths]
    if len(split) < 2 or len({tuple(parts[::2]) for parts in split}) > 1:
        return None
    columns = list(zip(*([int(part) for part in parts[1::2]] for parts in split)))
    counting = [column for column in columns if len(set(column)) > 1]
    return list(counting[0]) if len(counting) == 1 else None


def _key(path: Path, numbers: re.Pattern) -> tuple:
    """Return the text and numbers of a name, in turn, then what only tells equal ones apart."""
    parts = numbers.split(path.stem)
    values = tuple(_number(part) if i % 2 else part for i, part in enumerate(parts))
    return values, path.parent, path.name


def _number(digits: str) -> int | float:
    return float(digits) if "." in digits else int(digits)


def _in_doubt(paths: list[Path]) -> tuple[str, str]:
    a, b = (sorted(paths, key=lambda path: _key(path, numbers)) for numbers in (_DIGITS, _DECIMAL))
    return next((first.name, second.name) for first, second in zip(a, b) if first != second)


def _tell_of_gaps(paths: list[Path], tell: Callable[[str], object]) -> None:
    numbers = numbers_of(paths)
    if numbers is None:
        return
    steps = [after - before for before, after in itertools.pairwise(numbers)]
    usual = min(steps)  # every tenth frame is a series, too
    gaps = [i for i, step in enumerate(steps) if step != usual]
    if gaps:
        i = gaps[0]
        missing = sum(steps[gap] // usual - 1 for gap in gaps) if usual else 0
        tell(
            f"{paths[0].parent}: the numbers of the files jump from {paths[i].name} to {paths[i + 1].name}; about "
            f"{missing} of {len(paths) + missing} are missing, and the others follow each other as if they were not"
        )
