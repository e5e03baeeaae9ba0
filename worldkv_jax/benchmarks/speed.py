"""The speed benchmark: what a chunk takes with each option that makes a model faster, and without any."""

import dataclasses
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from worldkv_jax.benchmarks.rollout_bursts import Bursts
from worldkv_jax.benchmarks.rollout_cases import plan_cases
from worldkv_jax.sessions.plan import chunk_flops
from worldkv_jax.sessions.provenance import describe_machine
from worldkv_jax.sessions.session import Session

OPTIONS: tuple[Mapping[str, Any], ...] = (
    {},
    {"commit": "last_pass"},
    {"steps": 2},
    {"steps": 2, "commit": "last_pass"},
    {"steps": 1},
    {"weights": "int8"},
    {"weights": "fp8"},
)
"""What is compared; the first has none, and is what the others are divided by."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpeedBenchmark:
    """What to measure."""

    length: int = 30
    """Chunks of the rollout whose last ones are timed, under WorldKV's default."""
    rounds: int = 5
    """How often all options are gone through; interleaved, so that a slower spell of the machine meets them all."""
    timed: int = 3
    """Chunks timed each time."""

    def __post_init__(self):
        if min(self.rounds, self.timed) < 1 or self.length < self.timed + 2:
            raise ValueError(
                f"rounds={self.rounds}, timed={self.timed}, length={self.length}: give at least 1, 1 and timed + 2"
            )


def run_speed_benchmark(
    opened: Callable[[Mapping[str, Any]], Session],
    options: Sequence[Mapping[str, Any]],
    benchmark: SpeedBenchmark,
    *,
    progress: Callable[[Sequence, str], Iterable] = lambda items, label: items,
) -> dict[str, Any]:
    """Measure chunks with each set of options in turn, in one process, without decoding.

    Args:
        opened: opens the model with some options changed.
        options: what to compare; the first is what the others are divided by.
        benchmark: what to measure.
        progress: wraps a list that is gone through; it is also told what for.

    Returns:
        The machine, the parameters and ``rows``; all of it has a JSON form. Times are in seconds. ``ratio`` is a row's
        chunk over that of the first row, median over rounds; ``flops`` is what the shapes say.
    """
    runs = []
    for changes in progress(options, "compiling"):
        session = opened(changes).load()
        (case,) = plan_cases(session, modes=["worldkv"], lengths=[benchmark.length], tiers=["device"])
        if case.skipped:
            raise ValueError(f"WorldKV at {case.length} chunks {case.skipped}")
        bursts = Bursts(session, list(session.inputs()), benchmark.timed)
        bursts.run(case, decode=False)
        runs.append((case, bursts))
    seconds = defaultdict(list)
    for _, place in progress(
        [(turn, place) for turn in range(benchmark.rounds) for place in range(len(runs))], "timing"
    ):
        case, bursts = runs[place]
        seconds[place].append(statistics.median(bursts.run(case, decode=False)))
    rows = []
    for place, (changes, (case, bursts)) in enumerate(zip(options, runs, strict=True)):
        session = bursts.session
        cost = dataclasses.replace(session.cost, decode_flops=0.0)
        layout = case.layout(session.backbone.spec, session.worlds)
        rows.append(
            {
                "options": dict(changes),
                "median_s": statistics.median(seconds[place]),
                "round_s": seconds[place],
                "ratio": statistics.median(
                    ours / plain for ours, plain in zip(seconds[place], seconds[0], strict=True)
                ),
                "flops": chunk_flops(layout, cost, case.length - 1),
            }
        )
    return {"benchmark": "speed", **describe_machine(), "parameters": dataclasses.asdict(benchmark), "rows": rows}
