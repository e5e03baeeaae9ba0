"""The memory benchmark: does the memory's cost depend on how much it holds?"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from worldkv_jax.benchmarks.embedding import MODELS, measure_embedding
from worldkv_jax.benchmarks.selection import measure_selection, plan_selection
from worldkv_jax.benchmarks.storage import OPERATIONS, measure_storage, plan_storage, shape_named
from worldkv_jax.benchmarks.timing import Effort
from worldkv_jax.memory.config import Tier
from worldkv_jax.sessions.provenance import describe_machine


@dataclasses.dataclass(frozen=True, kw_only=True)
class MemoryBenchmark:
    """What to measure."""

    rules: Sequence[str] = ("camera", "released", "overlap")
    """Retrieval rules to choose by."""
    sizes: Sequence[int] = (10, 100, 1_000, 10_000, 100_000)
    """Chunks to choose from; none to leave this part out."""
    tiers: Sequence[Tier] = ("device", "pinned_host", "host")
    """Memories to hold the bank."""
    capacities: Sequence[int] = (10, 30, 100, 300, 1_000)
    """Chunks in the full bank; none to leave this part out."""
    frames: int = 32
    """Frames of the small model that embeds the memory, in one scan; 0 to leave this part out."""
    shape: str = "demo"
    """Keys and values, see `shape_named`."""
    retrieve: int = 6
    keep_ratio: float = 0.25
    memory_share: float = 0.5
    """Share of the free memory that may be taken."""
    seed: int = 0
    effort: Effort = dataclasses.field(default_factory=Effort)


def run_memory_benchmark(
    benchmark: MemoryBenchmark, *, progress: Callable[[Iterable[dict], int], Iterable[dict]] | None = None
) -> dict[str, Any]:
    """Measure selection, recall and remember, and sum up.

    Args:
        benchmark: what to measure.
        progress: wraps the rows of each part as they come; it is also given how many there will be.

    Returns:
        The machine, the parameters, rows of ``selection``, ``storage`` and ``embedding``, and ``checks``; all of it has
        a JSON form. Times are in seconds.

    Raises:
        ValueError: parameters that do not fit together or do not fit in memory, before anything is measured.
    """
    progress = progress or (lambda rows, total: rows)
    spec = shape_named(benchmark.shape)
    choosing = plan_selection(benchmark.rules, benchmark.sizes, retrieve=benchmark.retrieve)
    storing = plan_storage(
        benchmark.tiers,
        benchmark.capacities,
        spec=spec,
        retrieve=benchmark.retrieve,
        keep_ratio=benchmark.keep_ratio,
        memory_share=benchmark.memory_share,
    )
    effort, seed = benchmark.effort, benchmark.seed
    machine = describe_machine()
    selection = list(progress(measure_selection(choosing, effort=effort, seed=seed), len(choosing)))
    storage = list(progress(measure_storage(storing, effort=effort, seed=seed), len(storing) * len(OPERATIONS)))
    models = MODELS if benchmark.frames else ()
    embedding = [row for model in models for row in measure_embedding(model, effort=effort, steps=benchmark.frames)]
    return {
        "benchmark": "memory",
        **machine,
        "parameters": dataclasses.asdict(benchmark),
        "selection": selection,
        "storage": storage,
        "embedding": embedding,
        "checks": check_rows(selection, storage),
    }


def check_rows(selection: Sequence[dict], storage: Sequence[dict]) -> dict[str, Any]:
    """Sum up what must hold at any size.

    Returns:
        ``compilations``: programs compiled while timed. ``live_bytes_flat``: whether every row left as many live
        bytes as it found. ``same_buffers``: whether window and bank on the device stayed where they were.
        ``copied_share``: by how much a program's temporary bytes grow for each byte that the bank grows, at
        most; 0 where the bank is updated in place, 0.5 or more where it is copied. The last two are ``None``
        where nothing tells.
    """
    measured = [row for row in (*selection, *storage) if "skipped" not in row]
    places = [row["same_buffers"] for row in storage if row["same_buffers"] is not None]
    return {
        "compilations": sum(row["compilations"] for row in measured),
        "live_bytes_flat": all(row["live_bytes_flat"] for row in measured),
        "same_buffers": all(places) if places else None,
        "copied_share": _copied_share(storage),
    }


def _copied_share(storage: Sequence[dict]) -> float | None:
    # Donation keeps a buffer's address even where XLA copies it aside and back; only the compiler's memory plan tells.
    shares = []
    for operation in OPERATIONS:
        rows = [row for row in storage if row["operation"] == operation and row["temp_bytes"] is not None]
        rows.sort(key=lambda row: row["capacity"])
        if len(rows) > 1:
            low, high = rows[0], rows[-1]
            shares.append((high["temp_bytes"] - low["temp_bytes"]) / (high["bank_bytes"] - low["bank_bytes"]))
    return max(shares, default=None)
