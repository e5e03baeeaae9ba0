"""Every memory at one to twelve times the length that models are trained on, and controls that tell causes apart."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

from ports.demo_world.scenario import LAP
from ports.demo_world.study.runs import Result
from ports.demo_world.study.tables import Results
from ports.demo_world.study.variants import Group, Variant
from ports.demo_world.worlds.families import Family
from ports.demo_world.worlds.sizes import CHUNK_FRAMES
from worldkv_jax.evaluation.intervals import mean_interval
from worldkv_jax.memory import DEFAULT, OFFICIAL, PAPER, CameraDistance, MemoryConfig, Rule
from worldkv_jax.memory.config import Positions
from worldkv_jax.memory.profiles import DEFAULT_RULE, DISTANCE_RULE

LENGTHS_TITLE = "Length of the rollout"
TRAINED = 7
"""Chunks of a clip that models are trained on."""


class _Length(NamedTuple):
    """A path of so many chunks."""

    chunks: int
    laps: int
    lap: int
    degrees: float = 10.0
    """That the camera turns a frame, up to a whole turn a lap."""
    tour_laps: int | None = None
    """The family's unless given."""

    @property
    def arc(self) -> float:
        return min(360.0, CHUNK_FRAMES * self.degrees * self.lap)


_LENGTHS = {
    1: (_Length(TRAINED, 2, 4), _Length(21, 3, 7), _Length(36, 3, LAP), _Length(84, 7, LAP)),
    # No camera could show two rooms and come back in a clip's length: there it turns once in one room, as fast as
    # clips do.
    2: (_Length(TRAINED, 2, 6, degrees=20.0, tour_laps=1), _Length(20, 4, 5), _Length(36, 4, 9), _Length(84, 7, LAP)),
}
"""By the laps of a family's tour."""


def _placed(profile: MemoryConfig, positions: Positions) -> MemoryConfig:
    return dataclasses.replace(profile, retrieval=dataclasses.replace(profile.parts.retrieval, positions=positions))


def _default(rule: Rule = DEFAULT_RULE, chunks: int = 3) -> MemoryConfig:
    retrieval = dataclasses.replace(DEFAULT.parts.retrieval, rule=rule, chunks=chunks)
    return dataclasses.replace(DEFAULT, retrieval=retrieval)


MEMORIES = {
    "full KV": MemoryConfig(mode="full"),
    "sliding window": MemoryConfig(mode="sliding", recent_frames=6),
    "sink + recent": MemoryConfig(mode="sink_recent", recent_frames=3),
    "OFFICIAL": OFFICIAL,
    "PAPER": PAPER,
    "PAPER, re-based": _placed(PAPER, "rebased"),
    "DEFAULT, as stored": _placed(DEFAULT, "as_stored"),
    "DEFAULT": DEFAULT,
    "DEFAULT, anchored sink": dataclasses.replace(DEFAULT, sink="anchored"),
    "DEFAULT, 2 chunks": _default(chunks=2),
    "DEFAULT, by distance": _default(CameraDistance()),
    "DEFAULT, by distance within 0.05": _default(DISTANCE_RULE),
    "DEFAULT, by distance within 0.45": _default(CameraDistance(tolerance=0.45)),
    "DEFAULT, coverage of no tolerance": _default(dataclasses.replace(DEFAULT_RULE, tolerance=0.0)),
    "DEFAULT, coverage within 0.2": _default(dataclasses.replace(DEFAULT_RULE, tolerance=0.2)),
}
"""What is measured at every length."""
_TRUE_PAST = ("full KV", "DEFAULT, as stored", "DEFAULT")
_QUICK = ("full KV", "sliding window", "DEFAULT")
_CONFIRMED = ("full KV", "sliding window", "OFFICIAL", "PAPER", "DEFAULT")


def lengths(family: Family) -> Group:
    """Return the group of a family of worlds."""
    variants = []
    for length in _LENGTHS[family.tour_laps]:
        tour = family.tour_laps if length.tour_laps is None else length.tour_laps
        path: dict[str, Any] = {
            "laps": length.laps - tour + 1,  # a variant counts the tour as one lap
            "lap": length.lap,
            "arc": length.arc,
            "cut": None if length.laps * length.lap == length.chunks else length.chunks,
            "tour_laps": length.tour_laps,
        }
        for name, memory in MEMORIES.items():
            fitting = memory.fitted(length.chunks)
            quick = name in _QUICK and length.chunks in (TRAINED, 84)
            variants.append(Variant(name=f"{name}, {length.chunks} chunks", memory=fitting, quick=quick, **path))
        for name in _TRUE_PAST if length.chunks > TRAINED else ():
            title = f"{name}, true past, {length.chunks} chunks"
            variants.append(Variant(name=title, memory=MEMORIES[name], true_past=True, **path))
    return Group(
        title=LENGTHS_TITLE,
        variants=tuple(variants),
        reference=f"full KV, {_LENGTHS[family.tour_laps][-1].chunks} chunks",
        question=(
            f"Models were trained on {TRAINED} chunks. What becomes of each memory at one to twelve times that? With a "
            "*true past* the memory is given the truth after each chunk, so that nothing drifts: what full KV then "
            "loses it loses to positions and dilution; as stored against re-based are positions alone."
        ),
    )


def confirmed(group: Group) -> tuple[Variant, ...]:
    """Return what is measured once more on worlds that nothing was chosen on; nothing of another group."""
    if group.title != LENGTHS_TITLE:
        return ()
    return tuple(v for v in group.variants if v.name.rpartition(", ")[0] in _CONFIRMED)


def length_table(variants: Sequence[Variant], results: Results) -> str:
    """Write a Markdown table: a row for each memory, a column for each length, dB of the latest revisits there are."""
    columns = list(dict.fromkeys(v.name.rpartition(", ")[2] for v in variants if v.name in results))
    rows = dict.fromkeys(v.name.rpartition(", ")[0] for v in variants if v.name in results)
    lines = [f"| memory | attends | {' | '.join(columns)} |", "|---" * (len(columns) + 2) + "|"]
    for name in rows:
        found = [results.get(f"{name}, {column}") for column in columns]
        attended = max(result.attended for result in found if result is not None)
        cells = ["" if r is None else _text(r) for r in found]
        lines.append(f"| {name} | {attended:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _text(result: Result) -> str:
    interval = mean_interval(result.of_phase(result.latest))
    return f"{interval.mean:.2f}" if interval.half_width is None else f"{interval.mean:.2f} ± {interval.half_width:.2f}"
