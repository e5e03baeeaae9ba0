"""Actions: what is pressed in every pixel frame, from keys, scripts and arrays, and what latent frames see of it.

Row ``p`` drives the step from pixel frame ``p`` to the next. Latent frame ``f`` shows pixel frames ``4 f - 3`` to
``4 f`` (the first one pixel frame 0 alone) and sees the twelve rows before row ``4 f``.
(Matrix-Game 2.0 specification, sections 4.2 and 7.)
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ports.matrix_game2.config import LATENT_ROWS, MOUSE_COLUMNS, WINDOW_ROWS
from ports.matrix_game2.variants import VARIANTS, Variant
from ports.wan.latents import CHUNK_FRAMES

FIRST_ROWS = 1 + (CHUNK_FRAMES - 1) * LATENT_ROWS
"""Pixel frames of the first chunk."""
CHUNK_ROWS = CHUNK_FRAMES * LATENT_ROWS
"""Pixel frames of every later chunk."""
OPPOSITES = ("ws", "ad", "ik", "jl", "zc")
"""Letters that cancel each other."""
MAX_CHUNKS = 100_000
"""Longest script."""

_WORD = re.compile(r"([A-Za-z]+)([0-9]*)")


class Rows(NamedTuple):
    """Rows of actions, one a pixel frame."""

    keyboard: np.ndarray  # float32 [n, K]
    mouse: np.ndarray | None  # float32 [n, 2], pitch and yaw in mouse units a frame; None without a mouse


def rows_of_chunk(chunk: int) -> range:
    """Return the rows that an action given for this chunk fills; the first row of a rollout belongs to chunk 0."""
    first = 0 if chunk == 0 else FIRST_ROWS + (chunk - 1) * CHUNK_ROWS
    return range(first, FIRST_ROWS + chunk * CHUNK_ROWS)


def press(variant: Variant, letters: str) -> str:
    """Check the letters that are pressed together.

    Args:
        variant: whose keys they are.
        letters: such as ``"w"``, ``"WJ"`` or ``"w j"``; the order does not matter.

    Returns:
        The letters in lower case, without spaces.

    Raises:
        ValueError: no letter, one that the variant does not know, the same twice, two that cancel each other, or
            several where the variant takes one.
    """
    pressed = re.sub(r"\s", "", letters).lower()
    if not pressed:
        raise ValueError(f"no key in {letters!r}; press {variant.rest.upper()!r} to do nothing")
    for letter in pressed:
        if letter not in variant.letters:
            known = ", ".join(letter.upper() for letter in variant.letters)
            raise ValueError(f"unknown key {letter!r} in {letters!r}; variant {variant.name!r} has {known}")
    if len(set(pressed)) != len(pressed):
        raise ValueError(f"the keys {letters!r} name one of them twice; name each once")
    for pair in OPPOSITES:
        if set(pair) <= set(pressed):
            raise ValueError(
                f"the keys {letters!r} hold both {pair[0].upper()} and {pair[1].upper()}; hold one of them"
            )
    if variant.exclusive and len(pressed) > 1:
        raise ValueError(f"variant {variant.name!r} takes one key at a time, got {letters!r}")
    return pressed


def hold(variant: Variant, letters: str, count: int) -> Rows:
    """Return ``count`` rows during which these letters are pressed; raises what `press` raises."""
    pressed = press(variant, letters)
    keyboard, mouse = variant.keyboard_row(pressed), variant.mouse_row(pressed)
    return Rows(np.tile(keyboard, (count, 1)), None if mouse is None else np.tile(mouse, (count, 1)))


def parse_script(variant: Variant, text: str) -> list[str]:
    """Read a script: what is pressed during each chunk.

    A script is words, separated by spaces, commas or lines: letters that are pressed together, and for how many
    chunks where not for one. ``"W2 WL10 Q"`` walks for two chunks, walks and turns right for ten, rests for one.
    What follows ``#`` on a line is a comment.

    Returns:
        The letters of every chunk.

    Raises:
        ValueError: an empty script, a word that cannot be read, or what `press` raises; names the word.
    """
    words = re.sub(r"#[^\n]*", "", text).replace(",", " ").split()
    if not words:
        raise ValueError("the script of actions is empty; give words such as 'W2 WL10 Q'")
    chunks: list[str] = []
    for place, word in enumerate(words, 1):
        match = _WORD.fullmatch(word)
        times = int(match[2] or 1) if match else 0
        if not match or not times:
            raise ValueError(
                f"word {place} of the script of actions, {word!r}, is not letters and a number of chunks, as in 'WL10'"
            )
        if len(chunks) + times > MAX_CHUNKS:
            raise ValueError(f"the script of actions takes more than {MAX_CHUNKS} chunks at word {place}, {word!r}")
        try:
            chunks += [press(variant, match[1])] * times
        except ValueError as error:
            raise ValueError(f"word {place} of the script of actions: {error}") from None
    return chunks


def rows_of_keys(variant: Variant, chunks: Iterable[str]) -> Rows:
    """Return the rows of a rollout in which these letters are pressed, chunk by chunk."""
    return join([hold(variant, letters, len(rows_of_chunk(c))) for c, letters in enumerate(chunks)])


def check_rows(variant: Variant, keyboard: ArrayLike, mouse: ArrayLike | None = None) -> Rows:
    """Check rows of actions given as arrays.

    Args:
        variant: whose actions they are.
        keyboard: ``[n, K]``, one row a pixel frame, in the order of ``variant.columns``.
        mouse: ``[n, 2]`` pitch and yaw in mouse units a frame; left out where there is no mouse.

    Returns:
        The rows, float32.

    Raises:
        ValueError: another number of columns, a mouse where there is none or none where there is one, tracks of
            different lengths, or a number that is not finite.
    """
    keys = _track("keyboard", keyboard)
    if keys.shape[1] != len(variant.columns):
        fits = [v.name for v in VARIANTS.values() if len(v.columns) == keys.shape[1]]
        raise ValueError(
            f"the keyboard has {keys.shape[1]} columns, but variant {variant.name!r} has {len(variant.columns)}: "
            f"{', '.join(variant.columns)}" + (f"; these look like rows for {fits[0]!r}" if fits else "")
        )
    if not variant.mouse:
        if mouse is not None:
            raise ValueError(f"variant {variant.name!r} has no mouse; leave the mouse out")
        return Rows(keys, None)
    if mouse is None:
        raise ValueError(f"variant {variant.name!r} needs a mouse: [n, {MOUSE_COLUMNS}], zeros for a still one")
    moved = _track("mouse", mouse)
    if moved.shape != (len(keys), MOUSE_COLUMNS):
        raise ValueError(
            f"the mouse has shape {moved.shape}, expected {(len(keys), MOUSE_COLUMNS)}: pitch and yaw of every "
            "row of the keyboard"
        )
    return Rows(keys, moved)


def chunks_of_rows(count: int) -> int:
    """Return how many chunks so many rows are for.

    Raises:
        ValueError: rows that do not fill the last chunk.
    """
    chunks = 1 + (count - FIRST_ROWS) // CHUNK_ROWS
    if chunks < 1 or count != rows_of_chunk(chunks - 1).stop:
        low, high = (rows_of_chunk(max(0, c - 1)).stop for c in (chunks, chunks + 1))
        raise ValueError(
            f"{count} rows of actions do not match the frames of whole chunks: {FIRST_ROWS} for the first and "
            f"{CHUNK_ROWS} for each later one; give {low}" + (f" or {high}" if high != low else "")
        )
    return chunks


def action_windows(track: np.ndarray, frames: range, *, first_row: int = 0) -> np.ndarray:
    """Return the rows that latent frames see, ``[F, 12, columns]``.

    Args:
        track: ``[n, columns]``.
        frames: latent frames.
        first_row: which row of the rollout the track starts with; rows before the rollout repeat its first one.

    Raises:
        IndexError: the track does not reach as far.
    """
    rows = LATENT_ROWS * np.asarray(frames)[:, None] - WINDOW_ROWS + np.arange(WINDOW_ROWS)
    rows = np.maximum(rows, 0) - first_row
    if rows.min() < 0:
        raise IndexError(f"latent frame {frames.start} sees row {rows.min() + first_row}, before row {first_row}")
    return track[rows]


def join(parts: Sequence[Rows]) -> Rows:
    """Join rows that follow each other."""
    mice = [part.mouse for part in parts if part.mouse is not None]
    return Rows(np.concatenate([part.keyboard for part in parts]), np.concatenate(mice) if mice else None)


def _track(name: str, values: ArrayLike) -> np.ndarray:
    try:
        track = np.asarray(values, np.float32)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the {name} is not an array of numbers ({error}); give one row a pixel frame") from None
    if track.ndim != 2 or not len(track):
        raise ValueError(f"the {name} has shape {track.shape}, expected [n, columns]: one row a pixel frame")
    bad = ~np.isfinite(track)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise ValueError(
            f"row {row} of the {name} has {track[row, column]} in column {column}, expected finite numbers "
            f"({bad.any(axis=1).sum()} of {len(track)} rows are affected)"
        )
    return track
