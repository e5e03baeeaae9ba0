"""The memory figure: fidelity, cost, retrievals and the map of a rollout under several memory modes."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from worldkv_jax.cameras import validate_poses
from worldkv_jax.files import replacing
from worldkv_jax.media.panels import draw_lines, draw_map, draw_timeline
from worldkv_jax.media.style import styled
from worldkv_jax.media.traces import MemoryTrace, pick_highlights
from worldkv_jax.names import unknown_name


def memory_figure(
    traces: Sequence[MemoryTrace],
    *,
    poses: ArrayLike,
    phases: Sequence[str],
    focus: str | None = None,
    highlights: Sequence[int] | None = None,
    title: str | None = None,
) -> Figure:
    """Draw what memory modes did in one rollout.

    Left, over the chunks: fidelity, tokens attended and bytes stored, one line a mode. Right, of one mode:
    which chunks stood in the window or were brought back for each chunk, and from above where the camera
    stood, where it looked and which chunks were brought back for some of the views.

    Args:
        traces: one for each mode, all over the same chunks.
        poses: camera-to-world of each chunk ``[chunks, 4, 4]``, OpenCV axes.
        phases: label of each chunk, such as "tour" and "revisit"; equal neighbours are shaded as one.
        focus: name of the mode on the right; by default the last one that retrieves, else the last.
        highlights: chunks whose retrieval the map shows; by default up to three of the last phases.
        title: headline above the figure.

    Returns:
        A figure of 12 x 8 inches for `save_figure`; matplotlib's global state stays as it was.

    Raises:
        ValueError: no traces, repeated or unknown names, different numbers of chunks, or invalid poses.
    """
    traces = tuple(traces)
    poses, phases = validate_poses(poses), tuple(phases)
    focus_trace = _focus(traces, focus)
    lengths = {"phases": len(phases), "poses": len(poses)} | {f"trace {trace.name!r}": len(trace) for trace in traces}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"different numbers of chunks: {', '.join(f'{k} {v}' for k, v in lengths.items())}")
    if highlights is None:
        highlights = pick_highlights(focus_trace, phases)
    wrong = [chunk for chunk in highlights if not 0 <= chunk < len(phases)]
    if wrong:
        raise ValueError(f"highlights names chunk {wrong[0]}, expected 0 to {len(phases) - 1}")
    return _draw(traces, focus_trace, poses, phases, tuple(highlights), title)


@styled
def _draw(traces, focus, poses, phases, highlights, title) -> Figure:
    figure = Figure(figsize=(12, 8), dpi=110, facecolor="white")
    top = 0.875 if title else 0.935
    left = figure.add_gridspec(
        3, 1, left=0.055, right=0.46, top=top, bottom=0.065, hspace=0.42, height_ratios=(3, 2, 2)
    )
    right = figure.add_gridspec(
        2, 1, left=0.62, right=0.985, top=top, bottom=0.065, hspace=0.26, height_ratios=(1, 1.05)
    )
    if title:
        figure.suptitle(title, x=0.055, y=0.975, ha="left", fontsize=14, fontweight="bold")
    fidelity, tokens, stored = (figure.add_subplot(left[row]) for row in range(3))
    draw_lines(fidelity, traces, phases, focus.name, "fidelity", name_phases=True)
    fidelity.set_title("How closely each chunk matches the truth (PSNR, dB)", pad=22)
    draw_lines(tokens, traces, phases, focus.name, "attended_tokens")
    tokens.set_title("Memory tokens that each chunk attends to")
    divisor, unit = _unit(max(np.nanmax(trace.stored_bytes, initial=0) for trace in traces))
    draw_lines(stored, traces, phases, focus.name, "stored_bytes", divisor=divisor)
    stored.set_title(f"Keys and values kept in all ({unit})")
    stored.set_xlabel("chunk")
    timeline = figure.add_subplot(right[0])
    draw_timeline(timeline, focus, phases, highlights)
    timeline.set_title(f"What {focus.name} sees while it generates each chunk", pad=22)
    plan = figure.add_subplot(right[1])
    draw_map(plan, focus, poses, phases, highlights)
    plan.set_title("Where the camera stood and looked, from above")
    return figure


def _focus(traces: tuple[MemoryTrace, ...], focus: str | None) -> MemoryTrace:
    if not traces:
        raise ValueError("memory_figure got no traces; give one for each memory mode")
    by_name = {trace.name: trace for trace in traces}
    if len(by_name) != len(traces):
        raise ValueError(f"trace names repeat: {', '.join(trace.name for trace in traces)}; give each its own")
    if focus is None:
        return ([trace for trace in traces if trace.retrieves] or traces)[-1]
    if focus not in by_name:
        raise unknown_name("trace", focus, by_name)
    return by_name[focus]


def _unit(largest: float) -> tuple[int, str]:
    power = min(int(np.log2(max(largest, 1)) // 10), 4)
    return 1024**power, ("bytes", "KiB", "MiB", "GiB", "TiB")[power]


@styled
def save_figure(path: str | os.PathLike[str], figure: Figure) -> Path:
    """Write a figure to a PNG file, whole or not at all.

    Raises:
        ValueError: another suffix than ``.png``.
        OSError: the folder cannot be written to.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ValueError(f"{path}: figures are written as .png, got {path.suffix or 'no suffix'}")
    with replacing(path) as draft:
        figure.savefig(draft, format="png")
    return path
