"""What ``worldkv evaluate`` prints of the scores of worlds."""

import typing
from collections.abc import Mapping, Sequence

if typing.TYPE_CHECKING:
    from worldkv_jax.evaluation import Interval, Metric, WorldScores

_COLUMNS = {
    "first": "first revisit",
    "late": "late revisits",
    "random": "another place",
    "headroom": "headroom",
    "truth_seen": "truth: first visit",
    "truth_first": "truth: first revisit",
    "truth_late": "truth: late revisits",
    "same_truth": "true revisits",
    "memory_gain": "MemoryGain",
    "memory_ratio": "memory ratio",
}


def print_scores(
    table: Mapping[str, Mapping[str, "Interval | None"]], scores: Sequence["WorldScores"], metrics: Sequence["Metric"]
) -> None:
    """Print what worlds scored: a row a metric, then loop closure and drift."""
    from worldkv_jax.sessions.results import print_table

    count = len(scores)
    revisits = sum(len(score.revisits) for score in scores)
    over = f"{count} worlds, 95 % intervals over them" if count > 1 else "1 world, so no intervals"
    print(f"{revisits} revisits in {over}")
    measured = {metric: table[metric.name] for metric in metrics if metric.name in table}
    shown = {key: head for key, head in _COLUMNS.items() if any(row.get(key) for row in measured.values())}
    rows = [
        {"metric": f"{metric.name} ({metric.unit})" if metric.unit else metric.name}
        | {key: None if value is None else value.text(_digits(metric.unit)) for key, value in row.items()}
        for metric, row in measured.items()
    ]
    print_table(rows, {"metric": "metric", **shown})
    closure, rmse = scores[0].closure, table["closure"]["rmse"]
    if rmse is not None:
        where = f" (frame {closure['frame']} to frame {closure['earlier']})" if count == 1 else ""
        print(f"\nloop closure: root mean squared error {rmse.text(3)} of colours in [0, 1]{where}")
    for key, name in (("revisits", "revisits against their first visit"), ("truth", "against the truth")):
        if (drift := table["drift"][key]) is not None:
            print(f"drift, {name}: {drift.text()} dB in 100 frames")


def print_replays(table: Mapping[str, "Interval"], metrics: Sequence["Metric"]) -> None:
    """Print what replayed paths scored: a row a metric."""
    from worldkv_jax.sessions.results import print_table

    units = {metric.name: metric.unit for metric in metrics}
    rows = [{"metric": name, "all frames": value.text(_digits(units[name]))} for name, value in table.items()]
    print_table(rows, ["metric", "all frames"])


def print_growth(speed: float | None, attended: int | None) -> None:
    """Print the bytes a second that a memory grows by, and the stored tokens that are attended to."""
    from worldkv_jax.byte_counts import format_bytes

    if speed is not None:
        print(f"the memory grows by {format_bytes(speed)} in a second of video")
    if attended is not None:
        print(f"a frame of the last chunk attends to {attended:,} stored tokens")


def _digits(unit: str) -> int:
    """Return the decimals that a score is written with: decibels have fewer."""
    return 2 if unit == "dB" else 3
