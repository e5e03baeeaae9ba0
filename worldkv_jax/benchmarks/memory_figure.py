"""The figure of the memory benchmark: cost against the size of the bank."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from worldkv_jax.media.style import styled

Rows = Sequence[Mapping[str, Any]]


@styled
def cost_figure(selection: Rows, storage: Rows, title: str) -> Figure:
    """Draw the medians over the sizes, all axes logarithmic: one panel for the choice, one for each tier.

    Args:
        selection: rows of `measure_selection`; may be empty.
        storage: rows of `measure_storage`; may be empty.
        title: headline.
    """
    tiers = _names(storage, "tier")
    figure = Figure(figsize=(3.4 * max(2, bool(selection) + len(tiers)), 3.6), dpi=120, layout="constrained")
    figure.suptitle(title, fontsize=10)
    panels = list(figure.subplots(1, bool(selection) + len(tiers), squeeze=False)[0])
    if selection:
        axes = panels.pop(0)
        for rule in _names(selection, "rule"):
            _draw(axes, [row for row in selection if row["rule"] == rule], "chunks", rule)
        _finish(axes, "choosing the nearest chunks", "chunks in the index")
        axes.legend(fontsize=7)
    for axes, tier in zip(panels, tiers):
        rows = [row for row in storage if row["tier"] == tier]
        for operation in _names(rows, "operation"):
            _draw(axes, [row for row in rows if row["operation"] == operation], "capacity", operation)
        axes.sharey(panels[0])
        _finish(axes, f"full bank, {tier}", "chunks in the bank")
    if tiers:
        panels[0].legend(fontsize=7)  # the lines mean the same in every tier
    return figure


def _draw(axes: Axes, rows: Rows, size: str, label: str) -> None:
    rows = [row for row in rows if "median_s" in row]
    axes.plot([row[size] for row in rows], [1e3 * row["median_s"] for row in rows], "o-", markersize=3, label=label)


def _finish(axes: Axes, title: str, size: str) -> None:
    axes.set(xscale="log", yscale="log", xlabel=size, ylabel="milliseconds")
    axes.set_title(title, fontsize=10)
    axes.grid(which="major")


def _names(rows: Rows, key: str) -> list[str]:
    return list(dict.fromkeys(row[key] for row in rows))
