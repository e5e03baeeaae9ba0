"""Colours and type of all figures."""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from matplotlib import rc_context

P = ParamSpec("P")
T = TypeVar("T")

INK, QUIET, EDGE, GRID = "#22262d", "#5b616b", "#8a8f98", "#e3e6ea"
"""Of what is read first, of what stands beside it, of frames and marks, and of lines behind all of it."""
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"
"""Okabe and Ito's palette, which the colour-blind tell apart."""
PALETTE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, INK)
"""Colours of lines, in this order."""
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.titlepad": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": EDGE,
    "axes.linewidth": 0.8,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "text.parse_math": False,  # a $ in a title or a file's name is a $
}
"""Settings of matplotlib."""


def styled(draw: Callable[P, T]) -> Callable[P, T]:
    """Let a function draw in this style; matplotlib's global state stays as it was."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **options: P.kwargs) -> T:
        with rc_context(STYLE):
            return draw(*args, **options)

    return drawn
