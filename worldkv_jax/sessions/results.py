"""What commands put out: result folders, JSON files, tables."""

import itertools
import json
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from worldkv_jax.files import check_named, make_writable_folder, replacing


def prepare_output(path: str | os.PathLike[str], *, writes: Sequence[str] = (), force: bool = False) -> Path:
    """Make a folder for results and check that it can be written to, before any long work.

    Args:
        path: the folder; what it holds already stays.
        writes: patterns of the files that will be written. Where some of an earlier run are there, the folder gets a
            number: ``outputs/rollout-2``.
        force: write over them instead.

    Returns:
        The folder.

    Raises:
        OSError: it cannot be made or written to; the text says why.
        ValueError: an empty path, or a folder without a name of its own that holds an earlier result.
    """
    check_named(path, "the folder for results")
    folder = Path(path)
    if not force:
        taken = itertools.takewhile(lambda place: _holds(place, writes), _numbered(folder))
        folder = next(itertools.islice(_numbered(folder), sum(1 for _ in taken), None))
    if folder != Path(path):
        print(f"{path} holds an earlier result; writing to {folder}", file=sys.stderr)
    return make_writable_folder(folder)


def _numbered(folder: Path) -> Iterator[Path]:
    yield folder
    if folder.name in ("", ".."):
        raise ValueError(f"{folder} holds an earlier result; name another folder, or one in it")
    for number in itertools.count(2):
        yield folder.with_name(f"{folder.name}-{number}")


def _holds(folder: Path, patterns: Sequence[str]) -> bool:
    return any(any(folder.glob(pattern)) for pattern in patterns)


def write_json(path: str | os.PathLike[str], data: Any) -> Path:
    """Write data to a JSON file, whole or not at all.

    NumPy and JAX scalars become numbers, arrays and tuples lists, paths strings; NaN and infinity, which JSON
    does not know, become null.

    Raises:
        TypeError: something that has no JSON form; the text says where it is.
        OSError: the folder cannot be written to.
    """
    text = json.dumps(_plain(data, "data"), indent=2, allow_nan=False, ensure_ascii=False)
    with replacing(path) as draft:
        draft.write_text(text + "\n", encoding="utf-8")
    return Path(path)


def _plain(value: Any, place: str) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item, f"{place}[{key!r}]") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{place}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "__array__"):
        array = np.asarray(value)
        if array.dtype.kind == "V":  # bfloat16 and its like, which tolist would leave as they are
            array = array.astype(np.float32)
        return _plain(array.tolist(), place)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise TypeError(f"{place} is a {type(value).__name__}, which has no JSON form; give numbers, strings or lists")


def print_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | Mapping[str, str]) -> None:
    """Print rows as aligned text: numbers to the right, with a rule under the head.

    Args:
        rows: one mapping for each line; a key that is missing, or None or NaN, prints as ``-``.
        columns: keys to show, in order; or a mapping from key to heading. Floats print with two decimals.
    """
    headings = dict(columns) if isinstance(columns, Mapping) else {column: column for column in columns}
    cells = [[_cell(row.get(key)) for key in headings] for row in rows]
    widths = [max(map(len, column)) for column in zip(headings.values(), *cells)]
    right = [any(isinstance(row.get(key), int | float | np.number) for row in rows) for key in headings]
    for line in (list(headings.values()), ["-" * width for width in widths], *cells):
        text = (cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(line, widths, right))
        print("  ".join(text).rstrip())


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float | np.floating) and math.isnan(value)):
        return "-"
    if isinstance(value, float | np.floating):
        return f"{value:,.2f}"
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)
