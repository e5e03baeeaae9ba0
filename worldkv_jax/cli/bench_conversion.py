"""The command ``worldkv bench conversion``: what memory and time converting a checkpoint takes."""

import argparse

from worldkv_jax.cli.bench_flags import add_benchmark, add_group, given_to


def add_conversion(benchmarks) -> None:
    """Add the sub-command."""
    text = "convert synthetic checkpoints under a memory limit, and watch what memory that takes"
    add = add_group(add_benchmark(benchmarks, "conversion", text, _bench_conversion))
    add("--dims", nargs="+", type=int, metavar="N", help="widths of the transformer (default: 512 1280)")
    add("--layers", type=int, metavar="N", help="layers of the transformer (default: 40)")
    add("--dtypes", nargs="+", metavar="D", help="what to cast to: f32, f16, bf16, int8, fp8 (default: f32 bf16 int8)")
    add("--memory-limit-gb", type=float, metavar="G", help="memory of a conversion in GiB (default: 2)")


def _bench_conversion(args: argparse.Namespace) -> None:
    import tempfile
    from pathlib import Path

    from worldkv_jax.benchmarks.conversion import ConversionBenchmark, run_conversion_benchmark
    from worldkv_jax.byte_counts import format_bytes, format_file_size
    from worldkv_jax.cli.progress import row_bar
    from worldkv_jax.sessions.results import prepare_output, print_table, write_json

    benchmark = ConversionBenchmark(**given_to(ConversionBenchmark, args))
    folder = prepare_output(args.out, writes=["conversion.json"])
    with tempfile.TemporaryDirectory(prefix="conversion-", dir=folder) as scratch:
        result = run_conversion_benchmark(benchmark, Path(scratch), progress=row_bar)
    print(f"Converting {benchmark.layers} layers, float32, with at most {benchmark.memory_limit_gb:g} GiB of memory")
    memory = {"layer_bytes": "largest layer", "baseline_bytes": "dry run", "peak_bytes": "peak"}
    rows = [
        row
        | {name: format_bytes(row[name]) for name in memory}
        | {"source_bytes": format_file_size(row["source_bytes"])}
        for row in result["rows"]
    ]
    columns = {"dim": "width", "tensors": "tensors", "dtype": "to", "source_bytes": "source"}
    columns |= {**memory, "ratio": "above dry run / layer"}
    print_table(rows, columns | {"seconds": "seconds"})
    print(f"wrote {write_json(folder / 'conversion.json', result)}")
