"""The command ``worldkv bench``: measures what the library costs on this machine."""

import argparse

from worldkv_jax.cli.bench_kernels import add_kernels
from worldkv_jax.cli.bench_peers import add_peers
from worldkv_jax.cli.bench_play import add_play
from worldkv_jax.cli.bench_rollout import add_rollout
from worldkv_jax.cli.bench_speed import add_speed
from worldkv_jax.cli.bench_world import add_world

HELP = "measure speed and memory on this machine"

_PARTS = ("selection", "storage", "embedding")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one sub-command for each benchmark."""
    benchmarks = parser.add_subparsers(title="benchmarks", dest="benchmark", metavar="BENCHMARK", required=True)
    _add_memory(benchmarks)
    add_kernels(benchmarks)
    _add_conversion(benchmarks)
    add_rollout(benchmarks)
    add_speed(benchmarks)
    add_world(benchmarks)
    add_play(benchmarks)
    add_peers(benchmarks)


def run(args: argparse.Namespace) -> None:
    """Run the chosen benchmark."""
    args.measure(args)


def _add_memory(benchmarks) -> None:
    text = "time the world memory against the size of its bank; no model is needed"
    parser = benchmarks.add_parser("memory", help=text, description=text, allow_abbrev=False)
    parser.set_defaults(measure=_bench_memory)
    # The defaults are those of MemoryBenchmark: an option that is not given is not in the namespace.
    add = parser.add_argument
    many = {"nargs": "+", "default": argparse.SUPPRESS}
    one = {"default": argparse.SUPPRESS}
    add(
        "--parts",
        nargs="+",
        choices=_PARTS,
        metavar="PART",
        default=list(_PARTS),
        help="selection: choosing chunks; storage: recalling and remembering them; embedding: the memory in a small "
        "model, beside its own rolling cache (default: all)",
    )
    add("--rules", **many, metavar="RULE", help="camera, paper, released, overlap (default: camera released overlap)")
    add("--sizes", **many, type=int, metavar="N", help="chunks to choose from (default: 10 100 ... 100000)")
    add("--tiers", **many, metavar="TIER", help="memories of the bank (default: device pinned_host host)")
    add("--capacities", **many, type=int, metavar="N", help="chunks in the bank (default: 10 30 100 300 1000)")
    add("--frames", **one, type=int, metavar="N", help="frames of the small model in one scan (default: 32)")
    add("--shape", **one, help="keys and values: tiny, demo, or for GPUs matrix-game, lingbot (default: demo)")
    add("--retrieve", **one, type=int, metavar="K", help="chunks to retrieve (default: 6)")
    add("--keep-ratio", **one, type=float, metavar="R", help="share of tokens stored (default: 0.25)")
    add("--memory-share", **one, type=float, metavar="R", help="share of free memory that may be taken (default: 0.5)")
    add("--repeats", **one, type=int, metavar="N", help="timed calls of each row (default: 30)")
    add("--warmup", **one, type=int, metavar="N", help="calls before them (default: 3)")
    add("--budget", **one, type=float, metavar="S", help="seconds after which a row stops repeating (default: 10)")
    add("--call-limit", **one, type=float, metavar="S", help="skip sizes where a choice takes longer (default: 3)")
    add("--seed", **one, type=int, metavar="N", help="of cameras, keys and values (default: 0)")
    add("--out", default="outputs/bench", metavar="DIR", help="folder of the results (default: outputs/bench)")
    # The command line adds this to `bench`; here it also works behind the benchmark's own name.
    add("--debug", **one, action="store_true", help="show the traceback of an error")


def _bench_memory(args: argparse.Namespace) -> None:
    from worldkv_jax.benchmarks.figures import cost_figure
    from worldkv_jax.benchmarks.memory import run_memory_benchmark
    from worldkv_jax.cli.progress import row_bar
    from worldkv_jax.media.figures import save_figure
    from worldkv_jax.sessions.results import prepare_output, write_json

    benchmark = _parameters(vars(args))
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


def _parameters(given: dict):
    import dataclasses

    from worldkv_jax.benchmarks.memory import MemoryBenchmark
    from worldkv_jax.benchmarks.timing import Effort

    given = given | {f"{name}_s": given[name] for name in ("budget", "call_limit") if name in given}
    given |= {"sizes": ()} if "selection" not in given["parts"] else {}
    given |= {"capacities": ()} if "storage" not in given["parts"] else {}
    given |= {"frames": 0} if "embedding" not in given["parts"] else {}

    def given_to(kind):
        return {field.name: given[field.name] for field in dataclasses.fields(kind) if field.name in given}

    return MemoryBenchmark(**given_to(MemoryBenchmark), effort=Effort(**given_to(Effort)))


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


def _add_conversion(benchmarks) -> None:
    text = "convert synthetic checkpoints under a memory limit, and watch what memory that takes"
    parser = benchmarks.add_parser("conversion", help=text, description=text, allow_abbrev=False)
    parser.set_defaults(measure=_bench_conversion)
    add, one = parser.add_argument, {"default": argparse.SUPPRESS}
    add("--dims", nargs="+", type=int, **one, metavar="N", help="widths of the transformer (default: 512 1280)")
    add("--layers", **one, type=int, metavar="N", help="layers of the transformer (default: 40)")
    add(
        "--dtypes",
        nargs="+",
        **one,
        metavar="D",
        help="what to cast to: f32, f16, bf16, int8, fp8 (default: f32 bf16 int8)",
    )
    add("--memory-limit-gb", **one, type=float, metavar="G", help="memory of a conversion in GiB (default: 2)")
    add("--out", default="outputs/bench", metavar="DIR", help="folder of the results (default: outputs/bench)")
    add("--debug", **one, action="store_true", help="show the traceback of an error")


def _bench_conversion(args: argparse.Namespace) -> None:
    import dataclasses
    import tempfile
    from pathlib import Path

    from worldkv_jax.benchmarks.conversion import ConversionBenchmark, run_conversion_benchmark
    from worldkv_jax.cli.progress import in_units, row_bar
    from worldkv_jax.sessions.results import prepare_output, print_table, write_json

    given = {
        field.name: vars(args)[field.name] for field in dataclasses.fields(ConversionBenchmark) if field.name in args
    }
    benchmark = ConversionBenchmark(**given)
    folder = prepare_output(args.out, writes=["conversion.json"])
    with tempfile.TemporaryDirectory(prefix="conversion-", dir=folder) as scratch:
        result = run_conversion_benchmark(benchmark, Path(scratch), progress=row_bar)
    print(f"Converting {benchmark.layers} layers, float32, with at most {benchmark.memory_limit_gb:g} GiB of memory")
    sizes = {
        "source_bytes": "source",
        "layer_bytes": "largest layer",
        "baseline_bytes": "dry run",
        "peak_bytes": "peak",
    }
    rows = [row | {name: in_units(row[name]) for name in sizes} for row in result["rows"]]
    columns = {"dim": "width", "tensors": "tensors", "dtype": "to", **sizes, "ratio": "above dry run / layer"}
    print_table(rows, columns | {"seconds": "seconds"})
    print(f"wrote {write_json(folder / 'conversion.json', result)}")
