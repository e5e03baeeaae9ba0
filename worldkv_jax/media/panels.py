"""The panels of the memory figure: lines over chunks, the timeline of retrievals, the map."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import FancyArrowPatch, Rectangle
from matplotlib.ticker import MaxNLocator

from worldkv_jax.media.style import BLUE, EDGE, GREEN, INK, ORANGE, PURPLE, QUIET, VERMILION
from worldkv_jax.media.traces import MemoryTrace, phase_runs

_OTHERS = (
    (INK, "-"),
    (VERMILION, (0, (4, 1.6))),
    (PURPLE, (0, (1.2, 1.2))),
    (GREEN, (0, (6, 1.5, 1, 1.5))),
    (ORANGE, (0, (3, 3))),
)
"""Colours and dashes of the modes beside the one in focus, which is blue."""
_SHADES = ("#ffffff", "#f1f3f5", "#e4e7eb", "#d8dce1")  # of phases, in the order they appear
_WINDOW, _SELF = "#c9cdd3", "#6b727c"
_HIGHLIGHTS = ("#00795a", "#6a3d9a", "#a6650b", "#8c1c3f")  # none of them the colour of a mode


def draw_lines(
    axes: Axes,
    traces: Sequence[MemoryTrace],
    phases: Sequence[str],
    focus: str,
    field: str,
    *,
    divisor: float = 1,
    name_phases: bool = False,
) -> None:
    """Draw one line a mode over the chunks, named at its right end."""
    chunks = np.arange(len(phases))
    others = iter(_OTHERS * (len(traces) // len(_OTHERS) + 1))
    ends = []
    for trace in traces:
        values = getattr(trace, field) / divisor
        in_focus = trace.name == focus
        colour, style = (BLUE, "-") if in_focus else next(others)
        axes.plot(chunks, values, color=colour, ls=style, lw=2.6 if in_focus else 1.7, zorder=4 if in_focus else 3)
        finite = np.flatnonzero(np.isfinite(values))
        if finite.size:
            ends.append((values[finite[-1]], trace.name, colour, in_focus))
    _shade(axes, phases)
    if name_phases:
        _name_phases(axes, phases)
    axes.set_xlim(-0.5, len(phases) - 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.6g}")
    if field != "fidelity":
        axes.set_ylim(0, None)
    axes.grid(axis="y", zorder=0)
    axes.set_axisbelow(True)
    _name_ends(axes, ends)


def _shade(axes: Axes, phases: Sequence[str]) -> None:
    order = list(dict.fromkeys(phases))
    for start, stop, phase in phase_runs(phases):
        axes.axvspan(start - 0.5, stop - 0.5, color=_SHADES[order.index(phase) % len(_SHADES)], lw=0, zorder=0)


def _name_phases(axes: Axes, phases: Sequence[str]) -> None:
    """Write each phase above its chunks; one too short for its name only where it is longest."""
    chunk_points = _size_in_points(axes)[0] / len(phases)
    runs = phase_runs(phases)
    for start, stop, phase in runs:
        longest = max(other_stop - other_start for other_start, other_stop, other in runs if other == phase)
        if len(phase) * 8.5 * 0.6 <= (stop - start) * chunk_points or stop - start == longest:
            place = ((start + stop - 1) / 2, 1.025)
            above = axes.get_xaxis_transform()
            axes.text(*place, phase, fontsize=8.5, transform=above, ha="center", va="bottom", color=QUIET)


def _size_in_points(axes: Axes) -> tuple[float, float]:
    box, figure = axes.get_position(), axes.get_figure(root=True)
    width, height = (0.0, 0.0) if figure is None else figure.get_size_inches()
    return box.width * width * 72, box.height * height * 72


def _name_ends(axes: Axes, ends: list[tuple[float, str, str, bool]]) -> None:
    """Write names right of the lines' ends, moved apart where they would overlap."""
    low, high = axes.get_ylim()
    gap = 13 / _size_in_points(axes)[1]  # one line of type
    ends = sorted(ends, key=lambda end: end[0])
    places = np.array([(value - low) / (high - low) for value, *_ in ends])
    for _ in range(200):  # push neighbours apart until all have room
        overlap = np.maximum(gap - np.diff(places), 0)
        if not overlap.max(initial=0) > 1e-3:
            break
        places[:-1] -= overlap / 2
        places[1:] += overlap / 2
    for place, (value, name, colour, bold) in zip(places, ends):
        end = (value - low) / (high - low)
        axes.plot([1.0, 1.025], [end, place], transform=axes.transAxes, color=colour, lw=0.9, clip_on=False)
        weight = "bold" if bold else "normal"
        axes.text(
            1.032, place, name, fontsize=9, transform=axes.transAxes, va="center", color=colour, fontweight=weight
        )


def draw_timeline(axes: Axes, trace: MemoryTrace, phases: Sequence[str], highlights: Sequence[int]) -> None:
    """Draw which earlier chunks (up) each chunk (right) saw: in the window, or brought back, by rank."""
    chunks = len(phases)
    ranks = max(map(len, trace.retrieved), default=0)
    colours = _rank_colours(ranks)
    image = np.ones((chunks, chunks, 3))
    for chunk in range(chunks):
        image[chunk, chunk] = to_rgb(_SELF)
        image[list(trace.window[chunk]), chunk] = to_rgb(_WINDOW)
        for rank, source in reversed(list(enumerate(trace.retrieved[chunk]))):
            image[source, chunk] = colours[rank]
    axes.imshow(image, origin="lower", aspect="auto", interpolation="nearest")
    for start, _, _ in phase_runs(phases)[1:]:
        corner = [(start - 0.5, -0.5), (start - 0.5, start - 0.5), (chunks - 0.5, start - 0.5)]
        axes.plot(*zip(*corner), color=EDGE, lw=0.7, ls=(0, (3, 3)))
    axes.set_xlim(-0.5, chunks - 0.5)
    axes.set_ylim(-0.5, chunks - 0.5)
    if chunks <= 80:  # beyond that, lines between the cells would hide them
        axes.set_xticks(np.arange(-0.5, chunks), minor=True)
        axes.set_yticks(np.arange(-0.5, chunks), minor=True)
        axes.grid(which="minor", color="white", lw=0.6)
        axes.tick_params(which="minor", length=0)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
    _name_phases(axes, phases)
    axes.set_xlabel("chunk being generated", labelpad=2)
    axes.set_ylabel("chunk it sees")
    for chunk, colour in zip(highlights, _HIGHLIGHTS * len(highlights)):
        axes.add_patch(Rectangle((chunk - 0.5, -0.5), 1, chunk + 1, fill=False, ec=colour, lw=1.6, zorder=5))
    entries = [("itself", _SELF), ("window", _WINDOW)]
    if ranks:
        entries.append(("brought back, nearest" if ranks > 1 else "brought back", colours[0]))
    if ranks > 1:
        entries.append(("brought back, farthest", colours[-1]))
    for row, (name, colour) in enumerate(entries):  # the upper left triangle is empty: nobody sees the future
        y = 0.93 - 0.085 * row
        axes.add_patch(
            Rectangle((0.025, y - 0.03), 0.032, 0.055, transform=axes.transAxes, fc=colour, ec="none", zorder=6)
        )
        backing = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        axes.text(0.07, y, name, transform=axes.transAxes, va="center", fontsize=8.5, bbox=backing, zorder=6)


def _rank_colours(ranks: int) -> np.ndarray:
    dark, light = np.array(to_rgb("#003f73")), np.array(to_rgb("#9fd0f0"))
    return dark + np.linspace(0, 1, max(ranks, 1))[:, None] * (light - dark)


def draw_map(axes: Axes, trace: MemoryTrace, poses, phases: Sequence[str], highlights: Sequence[int]) -> None:
    """Draw cameras from above: a line of sight for each chunk, longer the later, and links to what came back."""
    order = list(dict.fromkeys(phases))
    ground, forward = poses[:, [0, 2], 3], poses[:, [0, 2], 2]
    norm = np.linalg.norm(forward, axis=1, keepdims=True)
    forward = np.divide(forward, norm, out=np.zeros_like(forward), where=norm > 1e-6)
    extent = np.ptp(ground, axis=0).max()
    # Later lines of sight are longer, so that visits of one view from one place lie side by side.
    reach = (extent if extent > 1e-3 else 1.0) * np.linspace(0.25, 0.7, len(phases))[:, None]
    tips = ground + reach * forward
    greys = np.linspace(0.78, 0.4, len(order))
    for chunk, phase in enumerate(phases):
        grey = str(greys[order.index(phase)])
        axes.plot(*zip(ground[chunk], tips[chunk]), color=grey, lw=0.7, zorder=1)
        axes.plot(*tips[chunk], marker="o", ms=4.2, color=grey, mec="white", mew=0.4, zorder=2)
    axes.plot(*ground.T, color=EDGE, lw=0.8, marker=".", ms=3, zorder=3)
    for chunk, colour in zip(highlights, _HIGHLIGHTS * len(highlights)):
        _link(axes, tips, chunk, trace.retrieved[chunk], colour)
    _fit_right(axes, np.concatenate([ground, tips]))
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    for row, phase in enumerate(order):
        y = 0.95 - 0.08 * row
        axes.plot(0.015, y, marker="o", ms=5, color=str(greys[row]), transform=axes.transAxes, clip_on=False)
        axes.text(0.04, y, phase, transform=axes.transAxes, va="center", fontsize=8.5)
    y = 0.95 - 0.08 * len(order)
    hint = "lines of sight grow\nlonger with time"
    axes.text(0.015, y + 0.03, hint, transform=axes.transAxes, va="top", fontsize=8, color=QUIET)
    for row, (chunk, colour) in enumerate(reversed(list(zip(highlights, _HIGHLIGHTS * len(highlights))))):
        sources = ", ".join(map(str, trace.retrieved[chunk][:6])) or "nothing"
        sources += ", ..." if len(trace.retrieved[chunk]) > 6 else ""
        line = f"chunk {chunk} brings\nback {sources}"
        axes.text(0.005, 0.03 + 0.16 * row, line, transform=axes.transAxes, fontsize=8.5, color=colour, weight="bold")


def _fit_right(axes: Axes, points: np.ndarray, share: float = 0.64) -> None:
    """Show all points at equal scale in the right part of the axes; the left is for the key."""
    width, height = _size_in_points(axes)
    low, high = points.min(axis=0), points.max(axis=0)
    margin = 14  # points, for the numbered dots
    scale = max((high[0] - low[0]) / (share * width - 2 * margin), (high[1] - low[1]) / (height - 2 * margin), 1e-9)
    middle = (low + high) / 2
    axes.set_xlim(middle[0] - (1 - share / 2) * width * scale, middle[0] + share / 2 * width * scale)
    axes.set_ylim(middle[1] - height * scale / 2, middle[1] + height * scale / 2)


def _link(axes: Axes, tips: np.ndarray, chunk: int, sources: Sequence[int], colour: str) -> None:
    for source in sources:
        bend = 0.25 if np.linalg.norm(tips[source] - tips[chunk]) > 0 else 0
        link = FancyArrowPatch(
            tips[source],
            tips[chunk],
            arrowstyle="-|>",
            mutation_scale=9,
            shrinkA=5,
            shrinkB=3,
            connectionstyle=f"arc3,rad={bend}",
            color=colour,
            lw=1.3,
            zorder=5,
        )
        axes.add_patch(link)
        axes.plot(*tips[source], marker="o", ms=6, mfc="white", mec=colour, mew=1.6, zorder=6)
    axes.plot(*tips[chunk], marker="o", ms=15, color=colour, zorder=7)
    x, y = tips[chunk]
    axes.text(x, y, str(chunk), color="white", ha="center", va="center", fontsize=8, weight="bold", zorder=8)
