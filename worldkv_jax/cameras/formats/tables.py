"""Tables of numbers in text files, and rotations as quaternions."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from worldkv_jax.cameras.checks import MAX_FRAMES
from worldkv_jax.files import replacing
from worldkv_jax.readers import read_text
from worldkv_jax.readers.texts import MAX_DATA


def lines_of(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the words of each line that is neither empty nor a comment (#); commas part words, too."""
    for number, line in enumerate(read_text(path, limit=MAX_DATA).splitlines(), 1):
        words = line.replace(",", " ").split()
        if words and not words[0].startswith("#"):
            yield number, words


def numbers(path: Path, line: int, words: list[str]) -> np.ndarray:
    """Read the words of a line as finite numbers.

    Raises:
        ValueError: one is none; names file and line.
    """
    try:
        row = np.array([float(word) for word in words])
    except ValueError as error:
        raise ValueError(f"{path}, line {line}: {error}") from None
    if not np.isfinite(row).all():
        raise ValueError(f"{path}, line {line}: holds a number that is not finite")
    return row


def read_rows(path: Path, columns: int, what: str, *, header: bool = False) -> np.ndarray:
    """Read a table ``[n, columns]``.

    Args:
        path: of the file.
        columns: of every row.
        what: a row is, for errors.
        header: whether the first line may be something else, such as an address.

    Raises:
        ValueError: a row of another length, no rows, or a word that is no number; names file and line.
    """
    rows = []
    for number, words in lines_of(path):
        if header and not rows and len(words) != columns:
            header = False
            continue
        if len(words) != columns:
            raise ValueError(f"{path}, line {number}: {len(words)} numbers, expected {columns}: {what}")
        rows.append(numbers(path, number, words))
        if len(rows) > MAX_FRAMES:
            raise ValueError(f"{path} has more than {MAX_FRAMES:,} rows; this is no camera path")
    if not rows:
        raise ValueError(f"{path} has no rows of {columns} numbers: {what}")
    return np.array(rows)


def count_columns(path: Path) -> int | None:
    """Return how many numbers the first rows of a text file have; ``None`` where they are none, or differ."""
    counts = set()
    try:
        for index, (_, words) in enumerate(lines_of(path)):
            if index == 0 and len(words) < 3:
                continue  # an address
            [float(word) for word in words]
            counts.add(len(words))
            if index == 4:
                break
    except (ValueError, OSError):
        return None
    return counts.pop() if len(counts) == 1 else None


def from_quaternions(quaternions: np.ndarray, positions: np.ndarray, *, name: str) -> np.ndarray:
    """Make matrices ``[n, 4, 4]`` of quaternions ``[n, 4]`` (x, y, z, w) and positions ``[n, 3]``.

    Raises:
        ValueError: a quaternion whose length is not 1 within a hundredth.
    """
    lengths = np.linalg.norm(quaternions, axis=-1)
    if (np.abs(lengths - 1) > 0.01).any():
        row = int((np.abs(lengths - 1) > 0.01).argmax())
        raise ValueError(f"{name}: quaternion {row} is {quaternions[row].tolist()}, expected one of length 1")
    matrices = np.zeros((len(quaternions), 4, 4))
    matrices[:, :3, :3] = Rotation.from_quat(quaternions).as_matrix()
    matrices[:, :3, 3], matrices[:, 3, 3] = positions, 1.0
    return matrices


def to_quaternions(poses: np.ndarray) -> np.ndarray:
    """Return the rotations of matrices ``[n, 4, 4]`` as quaternions (x, y, z, w), w not negative."""
    quaternions = Rotation.from_matrix(poses[:, :3, :3]).as_quat()
    return np.where(quaternions[:, 3:] < 0, -quaternions, quaternions)


def write_text(path: Path, text: str) -> Path:
    """Write a text file, whole or not at all."""
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8")
    return path
