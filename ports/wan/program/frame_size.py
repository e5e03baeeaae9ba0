"""The size of a frame, as people write it."""

import re

from ports.wan.latents import CELL
from ports.wan.nn.patches import PATCH

STEP = CELL * PATCH
"""Pixels that both sides of a frame are multiples of."""


def read_size(name: str, size: str | tuple[int, int], *, like: str, stepped: bool = True) -> tuple[int, int]:
    """Read height and width in pixels.

    Args:
        name: of the option, for errors.
        size: ``"480x832"``, ``"480*832"`` or ``(480, 832)``, height first.
        like: a size that is right, for errors.
        stepped: whether both sides have to be multiples of `STEP`.

    Raises:
        ValueError: it cannot be read, or its sides are no multiples.
    """
    text = size if isinstance(size, str) else "x".join(str(side) for side in size)
    found = re.fullmatch(r"([1-9]\d{0,4})[*x]([1-9]\d{0,4})", text)
    if found is None:
        raise ValueError(f"`{name}` {size!r}: expected height and width in pixels, such as {like}")
    sides = int(found[1]), int(found[2])
    if stepped and any(side % STEP for side in sides):
        near = "x".join(str(max(1, round(side / STEP)) * STEP) for side in sides)
        raise ValueError(f"`{name}` {text} is not in multiples of {STEP} pixels; give {near}, say")
    return sides
