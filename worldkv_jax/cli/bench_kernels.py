"""The command ``worldkv bench kernels``: the pruning kernels beside XLA's own fusion."""

import argparse

from worldkv_jax.cli.bench_flags import add_benchmark, add_group, given_to


def add_kernels(benchmarks) -> None:
    """Add the sub-command."""
    text = "compare and time every version of the pruning kernels at the sizes of the models"
    add = add_group(add_benchmark(benchmarks, "kernels", text, _bench_kernels))
    add(
        "--shapes",
        nargs="+",
        metavar="SHAPE",
        help="lingbot_480x832, matrix_game2, inspatio, demo_world, ... (default: all on a GPU, demo_world on a CPU)",
    )
    add("--versions", nargs="+", metavar="NAME", help="xla, mosaic_gpu, triton (default: all)")
    add("--repeats", type=int, metavar="N", help="timed calls of each row (default: 20)")
    add("--seed", type=int, metavar="N", help="of keys and values (default: 0)")


def _bench_kernels(args: argparse.Namespace) -> None:
    import dataclasses

    from worldkv_jax.benchmarks.kernels import KernelsBenchmark, run_kernels_benchmark
    from worldkv_jax.cli.progress import row_bar
    from worldkv_jax.sessions.results import prepare_output, print_table, write_json

    benchmark = KernelsBenchmark(**given_to(KernelsBenchmark, args))
    if "repeats" in args:
        benchmark = dataclasses.replace(benchmark, effort=dataclasses.replace(benchmark.effort, repeats=args.repeats))
    folder = prepare_output(args.out, writes=["kernels.json"])
    result = run_kernels_benchmark(benchmark, progress=row_bar)
    print(f"{result['hardware']['device']}, jax {result['versions']['jax']}, {result['date']}")
    rows = [
        row | {name: round(1e6 * row[f"{name}_s"]) for name in ("median", "min", "max")}
        for row in result["rows"]
        if "skipped" not in row
    ]
    columns = {"shape": "shape", "kernel": "kernel", "version": "version", "deviation": "off by"}
    print_table(rows, columns | {"median": "median us", "min": "min us", "max": "max us", "times_xla": "x XLA"})
    for reason in dict.fromkeys(row["skipped"] for row in result["rows"] if "skipped" in row):
        print(f"skipped: {reason}")
    print(f"wrote {write_json(folder / 'kernels.json', result)}")
