"""The figure of the attention analysis: attention beside overlap, their correlation, and what rules bring back."""

import numpy as np
from matplotlib.figure import Figure

from ports.demo_world.study.attention import PICKED, Attention
from ports.demo_world.study.figures import new_figure
from worldkv_jax.evaluation.intervals import mean_interval
from worldkv_jax.media.style import INK, PALETTE, QUIET, styled


@styled
def attention_figure(attention: Attention) -> Figure:
    """Draw the analysis: two maps over chunks, one over layers and heads, and bars of the rules."""
    figure, axes = new_figure(11.0, 8.4, 2, 2)
    chunks = attention.mass.shape[1] + attention.first
    maps = (
        (attention.mass, "Attention on each past chunk", "share of the attention"),
        (attention.overlap, "View seen by each past chunk", "share of the view"),
    )
    for panel, (values, title, label) in zip(axes[0], maps):
        shown = values.mean(axis=0).copy()
        for row in range(len(shown)):  # a chunk has no attention on itself and on what comes after it
            shown[row, row + attention.first :] = np.nan
        top = np.nanpercentile(shown, 99.5)
        extent = (-0.5, chunks - 0.5, chunks - 0.5, attention.first - 0.5)
        image = panel.imshow(shown, aspect="auto", cmap="magma", vmin=0, vmax=top, extent=extent)
        panel.set(xlabel="past chunk", ylabel="chunk that is generated")
        panel.set_title(title)
        figure.colorbar(image, ax=panel, label=label, extend="max")
    _draw_correlation(figure, axes[1, 0], attention)
    _draw_rules(axes[1, 1], attention)
    return figure


def _draw_correlation(figure: Figure, panel, attention: Attention) -> None:
    mean = np.nanmean(attention.correlation, axis=0)
    image = panel.imshow(mean, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
    for layer, heads in enumerate(mean):
        for head, value in enumerate(heads):
            colour = "white" if abs(value) > 0.6 else INK
            panel.text(head, layer, f"{value:.2f}", ha="center", va="center", color=colour)
    panel.set(xlabel="head", ylabel="layer", xticks=range(mean.shape[1]), yticks=range(mean.shape[0]))
    panel.set_title("Rank correlation of attention and overlap")
    figure.colorbar(image, ax=panel, label="Spearman's, over retrievable chunks")


def _draw_rules(panel, attention: Attention) -> None:
    width = 0.8 / len(PICKED)
    places = np.arange(len(attention.covered))
    for i, (count, colour) in enumerate(zip(PICKED, PALETTE)):
        intervals = [mean_interval(shares[:, i]) for shares in attention.covered.values()]
        means = [interval.mean for interval in intervals]
        reach = [interval.half_width or 0 for interval in intervals]
        label = f"{count} chunk{'s' * (count > 1)}"
        panel.barh(places + (i - 1) * width, means, width * 0.92, xerr=reach, color=colour, ecolor=QUIET, label=label)
    panel.set_yticks(places, attention.covered)
    panel.invert_yaxis()
    panel.set_xlim(0, 1.02)
    panel.set_xlabel("attention on a rule's picks, as a share of the best picks'")
    panel.set_title("What each rule would bring back")
    panel.grid(axis="x")
    panel.set_axisbelow(True)
    panel.legend(fontsize=8, loc="lower right")
