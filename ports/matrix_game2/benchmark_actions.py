"""The random actions of the released benchmark: one for the first row, then one for every twelve rows."""

import random

import numpy as np

from ports.matrix_game2.actions import CHUNK_ROWS, Rows, join
from ports.matrix_game2.config import LATENT_ROWS
from ports.matrix_game2.variants import GTA_DRIVE, TEMPLERUN, UNIVERSAL, Variant

BLOCKS = (CHUNK_ROWS,)
"""Lengths that the released benchmark draws the length of a block from."""


def _walks_and_turns(singles: str, doubles: tuple[str, ...], looks: str, repeats: int) -> tuple[str, ...]:
    """List what is drawn from: walks and turns on their own, several times over, then every walk with every turn."""
    alone = [*doubles * repeats, *looks * repeats, *singles * repeats]
    return (*alone, *(walk + look for walk in (*singles, *doubles) for look in looks))


ACTIONS: dict[str, tuple[str, ...]] = {
    UNIVERSAL.name: _walks_and_turns("wad", ("wa", "wd"), "jl", 5),
    GTA_DRIVE.name: _walks_and_turns("ws", (), "ad", 2),
    TEMPLERUN.name: ("w", "s", "a", "d", "z", "c", "q"),
}
"""What is drawn from, in the released order; the letters are those of the variant."""


def benchmark_rows(variant: Variant, count: int, rng: random.Random) -> Rows:
    """Draw the actions of a benchmark rollout; the same ``rng`` gives the rows of the released code.

    They start with the first row of a rollout, so each action comes four rows later than one given for a chunk.

    Args:
        variant: whose actions they are.
        count: pixel frames, ``1 + 4 n``.
        rng: seeded, such as ``random.Random(32)``.

    Raises:
        ValueError: a number of frames that is no whole number of latent frames.
    """
    if count < 1 or count % LATENT_ROWS != 1:
        raise ValueError(f"count={count} pixel frames; expected one and a multiple of {LATENT_ROWS}, such as 57")
    parts: list[Rows] = []
    filled = 0
    while filled < count:
        length = BLOCKS[rng.randint(0, len(BLOCKS) - 1)]  # of one alone, but drawing moves the generator on
        letters = ACTIONS[variant.name][rng.randint(0, len(ACTIONS[variant.name]) - 1)]
        length = min(length, count - filled) if parts else 1
        keyboard, mouse = variant.keyboard_row(letters), variant.mouse_row(letters)
        parts.append(Rows(np.tile(keyboard, (length, 1)), None if mouse is None else np.tile(mouse, (length, 1))))
        filled += length
    return join(parts)
