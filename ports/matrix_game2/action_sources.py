"""Actions as a command line names them: a script, a file, the released benchmark, or whoever sits at the keyboard."""

import random
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import jax

from checkpoints.safetensors_files import read_safetensors
from ports.matrix_game2.actions import (
    Rows,
    check_rows,
    chunks_of_rows,
    hold,
    join,
    parse_script,
    press,
    rows_of_chunk,
    rows_of_keys,
)
from ports.matrix_game2.benchmark_actions import benchmark_rows
from ports.matrix_game2.variants import Variant
from worldkv_jax.counts import counted
from worldkv_jax.readers import check_file, read_arrays, text_or_file, what_it_is

BENCHMARK = "random:"
"""Stands, with a seed after it, for the random actions of the released benchmark."""
BENCHMARK_CHUNKS = 10
"""Chunks of them unless told otherwise."""
ARRAYS = (".npz", ".safetensors")


def read_actions(
    variant: Variant, text: str, *, chunks: int | None = None, tell: Callable[[str], object] = warnings.warn
) -> Rows:
    """Read the actions of one world.

    Args:
        variant: whose actions they are.
        text: a script (see `parse_script`); a text file that holds one; a ``.npz`` or ``.safetensors`` file with
            ``keyboard [n, K]`` and, where there is a mouse, ``mouse [n, 2]``, one row a pixel
            frame; or ``random:SEED``.
        chunks: length of the rollout; what is longer is cut, and where it is shorter nothing is pressed in the end.
        tell: is told of either.

    Returns:
        The rows of whole chunks.

    Raises:
        FileNotFoundError: a file that is not there.
        ValueError: actions that cannot be read or do not fit the variant.
    """
    if text.startswith(BENCHMARK):
        seed = text.removeprefix(BENCHMARK)
        if not seed.isdecimal():
            raise ValueError(f"{text!r}: expected {BENCHMARK}SEED with a whole number, such as {BENCHMARK}32")
        count = rows_of_chunk((chunks or BENCHMARK_CHUNKS) - 1).stop
        return benchmark_rows(variant, count, random.Random(int(seed)))
    if text.lower().endswith(ARRAYS):
        rows = _read_arrays(variant, Path(text).expanduser())
    else:
        rows = rows_of_keys(variant, parse_script(variant, text_or_file(text, what="`actions`")))
    return rows if chunks is None else _fit(variant, rows, chunks, tell)


def typed(variant: Variant, chunks: int, before: Sequence[str] = ()) -> Callable[[int], str | None]:
    """Return a source of actions that asks whoever sits at the keyboard; an empty line repeats, its end ends.

    Args:
        variant: whose actions they are.
        chunks: how many there may be.
        before: what was typed for the chunks before.
    """
    held = before[-1] if before else variant.rest

    def source(chunk: int) -> str | None:
        nonlocal held
        while chunk < chunks:
            print(f"chunk {chunk}, keys {' '.join(variant.letters).upper()}: ", end="", file=sys.stderr, flush=True)
            line = sys.stdin.readline()
            if not line:
                return None
            try:
                held = press(variant, line) if line.strip() else held
            except ValueError as error:
                print(error, file=sys.stderr)
                continue
            return held
        return None

    return source


def _read_arrays(variant: Variant, path: Path) -> Rows:
    path = check_file(path, "arrays of actions")
    if path.suffix.lower() == ".npz":
        arrays = read_arrays(path)
    else:
        try:
            arrays = {name: tensor.open() for name, tensor in read_safetensors(path).tensors.items()}
        except ValueError as error:
            raise ValueError(f"{path} cannot be read as arrays: {what_it_is(path) or error}") from None
    strange = sorted(arrays.keys() - {"keyboard", "mouse"})
    if "keyboard" not in arrays or strange:
        raise ValueError(
            f"{path} holds {', '.join(sorted(arrays)) or 'nothing'}; expected keyboard [n, {len(variant.columns)}]"
            + (" and mouse [n, 2]" if variant.mouse else " alone")
        )
    try:
        rows = check_rows(variant, arrays["keyboard"], arrays.get("mouse"))
        chunks_of_rows(len(rows.keyboard))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return rows


def _fit(variant: Variant, rows: Rows, chunks: int, tell: Callable[[str], object]) -> Rows:
    count = rows_of_chunk(chunks - 1).stop
    missing = count - len(rows.keyboard)
    if missing:
        what = "nothing is pressed in the others" if missing > 0 else "the others are left out"
        given = counted(chunks_of_rows(len(rows.keyboard)), "chunk")
        tell(f"actions for {given}, but {chunks} are asked for: {what}")
    if missing > 0:
        return join([rows, hold(variant, variant.rest, missing)])
    return jax.tree.map(lambda part: part[:count], rows)
