"""The command ``worldkv bench memory``: the world memory against the size of its bank."""

import argparse
import typing

from worldkv_jax.cli.bench_flags import add_benchmark, add_group, given_to

if typing.TYPE_CHECKING:
    from worldkv_jax.benchmarks.memory import MemoryBenchmark

_PARTS = ("selection", "storage", "embedding")


def add_memory(benchmarks) -> None:
    """Add the sub-command."""
    text = "time the world memory against the size of its bank; no model is needed"
    add = add_group(add_benchmark(benchmarks, "memory", text, _bench_memory))
    add(
        "--parts",
        nargs="+",
        choices=_PARTS,
        metavar="PART",
        default=list(_PARTS),
        help="selection: choosing chunks; storage: recalling and remembering them; embedding: the memory in a small "
        "model, beside its own rolling cache (default: all)",
    )
    add(
        "--rules", nargs="+", metavar="RULE", help="camera, paper, released, overlap (default: camera released overlap)"
    )
    add("--sizes", nargs="+", type=int, metavar="N", help="chunks to choose from (default: 10 100 ... 100000)")
    add("--tiers", nargs="+", metavar="TIER", help="memories of the bank (default: device pinned_host host)")
    add("--capacities", nargs="+", type=int, metavar="N", help="chunks in the bank (default: 10 30 100 300 1000)")
    add("--frames", type=int, metavar="N", help="frames of the small model in one scan (default: 32)")
    add("--shape", help="keys and values: tiny, demo, or for GPUs matrix-game, lingbot (default: demo)")
    add("--retrieve", type=int, metavar="K", help="chunks to retrieve (default: 6)")
    add("--keep-ratio", type=float, metavar="R", help="share of tokens stored (default: 0.25)")
    add("--memory-share", type=float, metavar="R", help="share of free memory that may be taken (default: 0.5)")
    add("--repeats", type=int, metavar="N", help="timed calls of each row (default: 30)")
    add("--warmup", type=int, metavar="N", help="calls before them (default: 3)")
    add(
        "--budget",
        dest="budget_s",
        type=float,
        metavar="S",
        help="seconds after which a row stops repeating (default: 10)",
    )
    add(
        "--call-limit",
        dest="call_limit_s",
        type=float,
        metavar="S",
        help="skip sizes where a choice takes longer (default: 3)",
    )
    add("--seed", type=int, metavar="N", help="of cameras, keys and values (default: 0)")


def _bench_memory(args: argparse.Namespace) -> None:
    from worldkv_jax.benchmarks.memory import run_memory_benchmark
    from worldkv_jax.benchmarks.memory_figure import cost_figure
    from worldkv_jax.cli.progress import row_bar
    from worldkv_jax.media.figures import save_figure
    from worldkv_jax.sessions.results import prepare_output, write_json

    benchmark = _parameters(args)
    folder = prepare_output(args.out, writes=["memory.json"])
    result = run_memory_benchmark(benchmark, progress=row_bar)
    machine = f"{result['hardware']['device']}, jax {result['versions']['jax']}"
    print(f"{machine}, {result['date']}")
    _print_selection(result["selection"])
    _print_storage(result["storage"], benchmark.shape)
    _print_embedding(result["embedding"])
    _print_checks(result["checks"])
    title = f"{machine}, shape {benchmark.shape}, {benchmark.retrieve} chunks retrieved"
    print(f"wrote {write_json(folder / 'memory.json', result)}")
    if result["selection"] or result["storage"]:  # of the embedding there is nothing to draw
        print(f"wrote {save_figure(folder / 'memory.png', cost_figure(result['selection'], result['storage'], title))}")


def _parameters(args: argparse.Namespace) -> "MemoryBenchmark":
    """Return what to measure; a part that was not asked for has no sizes."""
    from worldkv_jax.benchmarks.memory import MemoryBenchmark
    from worldkv_jax.benchmarks.timing import Effort

    given = given_to(MemoryBenchmark, args)
    nothing = {"selection": {"sizes": ()}, "storage": {"capacities": ()}, "embedding": {"frames": 0}}
    for part in nothing.keys() - set(args.parts):
        given |= nothing[part]
    return MemoryBenchmark(**given, effort=Effort(**given_to(Effort, args)))


_TIMES = {"median": "median us", "min": "min us", "max": "max us", "ratio": "x smallest"}
_COPIED = 0.25  # a copy of the keys alone would be 0.5; the index, which is copied, is far less
_COUNTS = {"repeats": "calls", "compilations": "compiled"}


def _print_selection(rows: list[dict]) -> None:
    from worldkv_jax.sessions.results import print_table

    if rows:
        print("\nChoosing the nearest chunks of an index")
        print_table([_in_microseconds(row) for row in rows], {"rule": "rule", "chunks": "chunks", **_TIMES, **_COUNTS})
    for row in rows:
        if "skipped" in row:
            print(f"skipped: {row['rule']} among {row['chunks']:,} chunks, {row['skipped']}")


def _print_storage(rows: list[dict], shape: str) -> None:
    from worldkv_jax.sessions.results import print_table

    if rows:
        print(f"\nRecalling and remembering at a full bank, keys and values of shape {shape}")
        columns = {"tier": "tier", "operation": "operation", "capacity": "chunks", **_TIMES, **_COUNTS}
        columns |= {"bank_bytes": "bank bytes", "temp_bytes": "temporary bytes"}
        print_table([_in_microseconds(row) for row in rows], columns)


def _print_embedding(rows: list[dict]) -> None:
    from worldkv_jax.sessions.results import print_table

    if rows:
        print("\nOne frame of eight worlds of small models, with a cache of their own and with the memory")
        rows = [row | {"median": round(1e6 * row["step_s"])} for row in rows]
        print_table(rows, {"model": "model", "cache": "cache", "median": "median us", "ratio": "x by hand"})


def _in_microseconds(row: dict) -> dict:
    if "skipped" in row:
        return row
    return row | {name: round(1e6 * row[f"{name}_s"]) for name in ("median", "min", "max")}


def _print_checks(checks: dict) -> None:
    print(f"\ncompiled while timed: {checks['compilations']} programs")
    print(f"live bytes: {'the same' if checks['live_bytes_flat'] else 'NOT the same'} before and after each row")
    if checks["same_buffers"] is not None:
        print(f"device bank: {'same buffers' if checks['same_buffers'] else 'MOVED'} after each row")
    if checks["copied_share"] is not None:
        verdict = "it is updated in place" if checks["copied_share"] < _COPIED else "IT IS COPIED"
        print(f"temporary bytes grow by {checks['copied_share']:.1%} of what the device bank grows by: {verdict}")
