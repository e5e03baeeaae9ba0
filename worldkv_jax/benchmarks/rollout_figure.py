"""The figure of the rollout benchmark: speed and memory against the length of the rollout, as WorldKV shows them."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from worldkv_jax.media.style import styled

Rows = Sequence[Mapping[str, Any]]

_UNITS = {"GiB": 1024**3, "MiB": 1024**2}


@styled
def length_figure(rows: Rows, title: str) -> Figure:
    """Draw frames a second, and keys and values on the device and in all, against the length of the rollout.

    Args:
        rows: of `run_rollout_benchmark`; those with decoding are drawn if there are any.
        title: headline.
    """
    measured = [row for row in rows if "skipped" not in row and not row["live"]]
    decode = any(row["decode"] for row in measured)
    measured = [row for row in measured if row["decode"] == decode]
    figure = Figure(figsize=(10.5, 4.2), dpi=110, layout="constrained")
    figure.suptitle(title, fontsize=10)
    speed, device, total = figure.subplots(1, 3)
    largest = max(sum(row["kv_bytes"].values()) for row in measured)
    unit, size = next(((unit, size) for unit, size in _UNITS.items() if largest >= size), ("MiB", _UNITS["MiB"]))
    for color, name in enumerate(dict.fromkeys(map(_name, measured))):
        line = sorted((row for row in measured if _name(row) == name), key=lambda row: row["length"])
        lengths = [row["length"] for row in line]
        style = {"color": f"C{color}", "markersize": 3, "label": name}
        speed.plot(lengths, [row["fps"] for row in line], "o-", **style)
        device.plot(lengths, [row["kv_bytes"]["device"] / size for row in line], "o-", **style)
        total.plot(lengths, [sum(row["kv_bytes"].values()) / size for row in line], "o-", **style)
    _finish(speed, "frames a second" + (", decoded" if decode else ", not decoded"))
    _finish(device, f"keys and values on the device, {unit}")
    _finish(total, f"keys and values in all, {unit}")
    figure.legend(*speed.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=7, frameon=False)
    return figure


def _name(row: Mapping[str, Any]) -> str:
    return row["mode"] if row["tier"] is None else f"{row['mode']}, {row['tier']}"


def _finish(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("chunks")
    axes.set_ylim(bottom=0)
    axes.grid()
