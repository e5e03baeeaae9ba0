"""The figures of the study: differences with intervals, counts, laps, and fidelity against cost."""

from collections.abc import Collection, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ports.demo_world.scenario import LAP, LATE
from ports.demo_world.study.runs import Result
from ports.demo_world.study.tables import Results, late_difference
from ports.demo_world.study.variants import Group, Variant
from worldkv_jax.evaluation.intervals import mean_interval
from worldkv_jax.media.style import BLUE, INK, ORANGE, PALETTE, VERMILION, styled

_KEPT = {"whole chunks": BLUE, "pruned": VERMILION, "anchors only": ORANGE}
_TICKS = (100, 200, 300, 500, 1000, 2000)
_ON_LATE = "late-revisit PSNR"


@styled
def new_figure(width: float, height: float, rows: int, columns: int, **options):
    """Make an empty figure and its axes ``[rows, columns]``."""
    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


@styled
def differences_figure(groups: Sequence[Group], results: Results) -> Figure:
    """Draw each group's paired differences of late-revisit PSNR from its reference, with 95 % intervals."""
    shown = [group for group in groups if _measured(group, results)]
    heights = [1.0 + 0.3 * len(_measured(group, results)) for group in shown]
    figure, axes = new_figure(7.2, sum(heights), len(shown), 1, height_ratios=heights)
    for group, panel in zip(shown, axes[:, 0]):
        _draw_differences(panel, group, results)
    return figure


@styled
def modes_figure(group: Group, results: Results) -> Figure:
    """Draw late-revisit PSNR of each memory, with 95 % intervals over worlds and what it attends to."""
    variants = _measured(group, results)
    figure, axes = new_figure(7.2, 1.0 + 0.36 * len(variants), 1, 1)
    panel = axes[0, 0]
    for place, variant in enumerate(variants):
        result = results[variant.name]
        _dot(panel, place, mean_interval(result.of_phase(LATE)), BLUE)
    labels = [f"{v.name} ({results[v.name].attended:,} tokens)" for v in variants]
    _finish_dots(panel, labels, f"{_ON_LATE}, dB, 95 % intervals over worlds")
    return figure


@styled
def count_figure(group: Group, results: Results, full: Result) -> Figure:
    """Draw late-revisit PSNR against the number of retrieved chunks, as a difference from full KV."""
    figure, axes = new_figure(6.4, 3.4, 1, 1)
    panel = axes[0, 0]
    lines: dict[str, list[Variant]] = {}
    for variant in _measured(group, results):
        lines.setdefault(variant.name.partition(" ")[2], []).append(variant)
    for colour, (name, variants) in zip(PALETTE, lines.items()):
        counts = [v.memory.parts.retrieval.chunks for v in variants]
        _line(panel, counts, [late_difference(results[v.name], full) for v in variants], colour, name)
    panel.axhline(0, color=INK, lw=1, ls="--")
    panel.set(xlabel="chunks retrieved", ylabel=f"{_ON_LATE} minus full KV, dB")
    _finish_lines(panel)
    return figure


@styled
def laps_figure(groups: Sequence[Group], results: Results) -> Figure:
    """Draw PSNR lap by lap of a long rollout, one panel a group, bands of 95 % over worlds."""
    shown = [group for group in groups if _measured(group, results)]
    figure, axes = new_figure(5.2 * len(shown), 3.8, 1, len(shown), sharey=True)
    for group, panel in zip(shown, axes[0]):
        for colour, variant in zip(PALETTE, _measured(group, results)):
            scores = results[variant.name].psnr
            laps = scores.reshape(len(scores), -1, LAP).mean(axis=2)
            numbers = 2 + np.arange(laps.shape[1])
            _line(panel, numbers, [mean_interval(lap) for lap in laps.T], colour, variant.name)
        panel.set(xlabel="lap around the room (the first was given)", title=group.title)
        _finish_lines(panel)
    axes[0, 0].set_ylabel("PSNR against the renderer, dB")
    return figure


@styled
def noise_figure(group: Group, results: Results) -> Figure:
    """Draw late-revisit PSNR against the noise on the memory's cameras."""
    figure, axes = new_figure(6.4, 3.4, 1, 1)
    panel, reference = axes[0, 0], results[group.reference]
    names = dict.fromkeys(v.name.split(",")[0] for v in _measured(group, results))
    for colour, name in zip(PALETTE, names):
        variants = [v for v in _measured(group, results) if v.name.startswith(name)]
        differences = [late_difference(results[v.name], reference) for v in variants]
        _line(panel, [v.noise[0] for v in variants], differences, colour, name)
    panel.axhline(0, color=INK, lw=1, ls="--")
    panel.set(xlabel="noise on each chunk's camera: degrees, and as many hundredths of a unit")
    panel.set_ylabel(f"{_ON_LATE}\nminus exact cameras, dB")
    _finish_lines(panel)
    return figure


@styled
def cost_figure(variants: Sequence[Variant], results: Results, named: Collection[str], full: Result) -> Figure:
    """Draw late-revisit PSNR against attended tokens and against stored bytes; ``named`` ones are labelled."""
    figure, axes = new_figure(9.6, 4.2, 1, 2, sharey=True)
    plain = [v for v in variants if v.name in results and v.plain]
    costs = (
        (lambda r: r.attended, "stored tokens attended by the last chunk"),
        (lambda r: 100 * r.stored_share, "keys and values stored, % of full KV"),
    )
    for panel, (cost, label) in zip(axes[0], costs):
        for variant in plain:
            name, result = variant.name, results[variant.name]
            late = result.of_phase(LATE).mean()
            panel.plot(cost(result), late, "o", color=_colour(variant), ms=8 if name in named else 5, alpha=0.85)
            if name in named:
                panel.annotate(name, (cost(result), late), (6, 4), textcoords="offset points")
        panel.axhline(full.of_phase(LATE).mean(), color=INK, lw=1, ls="--")
        panel.set_xlabel(label)
        _finish_lines(panel, legend=False)
    axes[0, 0].set_xscale("log")
    axes[0, 0].set_xticks(_TICKS, [f"{tick:,}" for tick in _TICKS], minor=False)
    axes[0, 0].set_xticks([], minor=True)
    for kept, colour in _KEPT.items():
        axes[0, 0].plot([], [], "o", color=colour, label=f"WorldKV, {kept}")
    axes[0, 0].legend(fontsize=8, frameon=False)
    axes[0, 0].set_ylabel(f"{_ON_LATE}, dB (dashed: full KV)")
    return figure


def _colour(variant: Variant) -> str:
    """Colour a variant by how much of a chunk it keeps."""
    compression = variant.memory.compression
    if compression is None:
        return INK
    if compression.keep_tokens is not None:
        return _KEPT["anchors only"]
    return _KEPT["whole chunks" if compression.keep_ratio == 1 else "pruned"]


def _measured(group: Group, results: Results) -> list[Variant]:
    return [variant for variant in group.variants if variant.name in results]


def _draw_differences(panel: Axes, group: Group, results: Results) -> None:
    variants = _measured(group, results)
    for place, variant in enumerate(variants):
        if variant.name == group.reference:
            panel.plot(0, place, "D", color=INK, ms=5)
        else:
            difference = late_difference(results[variant.name], results[group.reference])
            _dot(panel, place, difference, BLUE)
    panel.axvline(0, color=INK, lw=1, ls="--")
    panel.set_title(group.title)
    labels = [f"{v.name} ({results[v.name].attended:,} tokens)" for v in variants]
    _finish_dots(panel, labels, f"{_ON_LATE} minus “{group.reference}”, dB, paired, 95 %")


def _dot(panel: Axes, place: int, interval, colour: str) -> None:
    panel.plot(interval.mean, place, "o", color=colour, ms=6)
    if interval.low is not None:
        panel.plot([interval.low, interval.high], [place, place], color=colour, lw=2)


def _line(panel: Axes, x, intervals, colour: str, label: str) -> None:
    panel.plot(x, [i.mean for i in intervals], "o-", color=colour, ms=4, lw=1.8, label=label)
    if intervals[0].low is not None:
        panel.fill_between(x, [i.low for i in intervals], [i.high for i in intervals], color=colour, alpha=0.15, lw=0)


def _finish_dots(panel: Axes, labels: list[str], caption: str) -> None:
    panel.set_yticks(range(len(labels)), labels)
    panel.set_ylim(len(labels) - 0.4, -0.6)
    panel.set_xlabel(caption, loc="right")  # longer than the axes are wide
    panel.grid(axis="x")
    panel.set_axisbelow(True)


def _finish_lines(panel: Axes, *, legend: bool = True) -> None:
    panel.grid()
    panel.set_axisbelow(True)
    if legend:
        panel.legend(fontsize=8, frameon=False)
