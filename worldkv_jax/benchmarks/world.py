"""What it costs to keep worlds: forks, the first step after one, saving beside the generation."""

import dataclasses
import statistics
import time
from pathlib import Path
from typing import Any

import jax

from worldkv_jax.benchmarks.timing import live_bytes
from worldkv_jax.memory.report import fork_bytes
from worldkv_jax.rollout import snapshot
from worldkv_jax.rollout.stream import exhaust
from worldkv_jax.sessions import Session, WorldFolder
from worldkv_jax.sessions.provenance import describe_machine

_TRIES = 5


@dataclasses.dataclass(frozen=True, kw_only=True)
class WorldBenchmark:
    """What to measure."""

    forks: int = 1000
    """Forks made at once."""
    repeats: int = 5
    """Steps timed, right after a fork and otherwise; rollouts timed, with saving and without."""
    every: int = 1
    """Chunks from one point to the next while saving is timed."""

    def __post_init__(self):
        for field in dataclasses.fields(self):
            if getattr(self, field.name) < 1:
                raise ValueError(f"{field.name}={getattr(self, field.name)} must be at least 1")


def run_world_benchmark(session: Session, benchmark: WorldBenchmark, scratch: Path) -> dict[str, Any]:
    """Measure what keeping the worlds of a session costs.

    Args:
        session: a loaded session of at least three chunks.
        benchmark: what to measure.
        scratch: an empty folder for worlds; the caller removes it.

    Raises:
        ValueError: a session that is too short.
    """
    if session.chunks < 3:
        raise ValueError(f"the path has {session.chunks} chunks; give at least 3, so that there is something to keep")
    return {
        **describe_machine(),
        "benchmark": dataclasses.asdict(benchmark),
        "tier": None if session.memory.bank is None else session.memory.bank.tier,
        "chunks": session.chunks,
        "planned_point_bytes": session.plan().point_bytes,
        "forks": _measure_forks(session, benchmark),
        "saving": _measure_saving(session, benchmark, scratch),
    }


def _measure_forks(session: Session, benchmark: WorldBenchmark) -> dict[str, Any]:
    inputs = list(session.inputs())
    world = exhaust(session.stream(session.start(), inputs[:-1]))
    before = sum(live_bytes().values())
    branches, seconds = session.fork(world, 1), float("inf")
    for _ in range(_TRIES):  # the quickest says what forks take, and not what else the machine does
        since = time.perf_counter()
        branches = session.fork(world, benchmark.forks)
        seconds = min(seconds, time.perf_counter() - since)
    taken = sum(live_bytes().values()) - before
    first, others, diverged = [], [], []
    for _ in range(benchmark.repeats + 1):
        before = sum(live_bytes().values())
        since = time.perf_counter()
        ended = jax.block_until_ready(exhaust(session.stream(branches[0], inputs[-1:])))
        first.append(time.perf_counter() - since)
        diverged.append(sum(live_bytes().values()) - before)
        del ended
    for _ in range(benchmark.repeats + 1):
        owned = jax.block_until_ready(snapshot(world))._replace(shared=None)
        since = time.perf_counter()
        jax.block_until_ready(exhaust(session.stream(owned, inputs[-1:])))
        others.append(time.perf_counter() - since)
    return {
        "forks": benchmark.forks,
        "seconds": seconds,
        "bytes": taken,
        "first_step_s": statistics.median(first[1:]),
        "other_step_s": statistics.median(others[1:]),
        "diverged_bytes": max(diverged),
        "counted_bytes": fork_bytes(world.memory.layout),
    }


def _measure_saving(session: Session, benchmark: WorldBenchmark, scratch: Path) -> dict[str, Any]:
    plain, saved, waited, wrote = [], [], [], []
    for attempt in range(benchmark.repeats + 1):
        since = time.perf_counter()
        jax.block_until_ready(exhaust(session.stream(session.start(), session.inputs())))
        plain.append(time.perf_counter() - since)
        since = time.perf_counter()
        with session.saving(scratch / str(attempt), every=benchmark.every) as saver:
            exhaust(session.stream(session.start(), session.inputs(), keeper=saver))
        saved.append(time.perf_counter() - since)
        waited.append(saver.waited)
        wrote.append(saver.wrote)
    chunks, extra = session.chunks, statistics.median(saved[1:]) - statistics.median(plain[1:])
    writing = statistics.median(wrote[1:])
    return {
        "plain_s_per_chunk": statistics.median(plain[1:]) / chunks,
        "saved_s_per_chunk": statistics.median(saved[1:]) / chunks,
        "writing_s_per_chunk": writing / chunks,
        "waited_s_per_chunk": statistics.median(waited[1:]) / chunks,
        "not_hidden_share": max(0.0, min(1.0, extra / writing)),
        "bytes": WorldFolder(scratch / "0").bytes_by_part(),
    }
