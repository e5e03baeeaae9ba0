"""The size of a frame, as people write it."""

import re

from ports.wan.latents import CELL
from ports.wan.nn.patches import PATCH

STEP = CELL * PATCH
"""Pixels that both sides of a frame are multiples of."""
MOST = 2160 * 3840
"""Pixels of the largest frame; more are a slip, which would fill any memory before the model is reached."""


def lies_differently(name: str, size: tuple[int, int], picture: tuple[int, int]) -> list[str]:
    """Say in a note, if so, that a frame stands where its picture lies, or the other way round.

    Args:
        name: of the option.
        size: height and width of the frame, in any unit.
        picture: height and width of what it is made of.
    """
    if (size[0] - size[1]) * (picture[0] - picture[1]) >= 0:
        return []
    shapes = {True: "lies", False: "stands"}
    return [
        f"the picture of {picture[0]} x {picture[1]} pixels {shapes[picture[1] > picture[0]]}, but the video "
        f"{shapes[size[1] > size[0]]}: `{name}` is height and width, in this order"
    ]


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
    if sides[0] * sides[1] > MOST:
        raise ValueError(f"`{name}` {text} has more than {MOST:,} pixels, those of 2160x3840; give {like}, say")
    if stepped and any(side % STEP for side in sides):
        near = "x".join(str(max(1, round(side / STEP)) * STEP) for side in sides)
        raise ValueError(f"`{name}` {text} is not in multiples of {STEP} pixels; give {near}, say")
    return sides
