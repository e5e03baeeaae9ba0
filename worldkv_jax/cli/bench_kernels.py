"""The command ``worldkv bench kernels``: the pruning kernels beside XLA's own fusion."""

import argparse


def add_kernels(benchmarks) -> None:
    """Add the sub-command."""
    text = "compare and time every version of the pruning kernels at the sizes of the models"
    parser = benchmarks.add_parser("kernels", help=text, description=text, allow_abbrev=False)
    parser.set_defaults(measure=_bench_kernels)
    # The defaults are those of KernelsBenchmark: an option that is not given is not in the namespace.
    add = parser.add_argument
    many, one = {"nargs": "+", "default": argparse.SUPPRESS}, {"default": argparse.SUPPRESS}
    add("--shapes", **many, metavar="SHAPE", help="lingbot_480x832, matrix_game2, inspatio, demo_world, ... "
        "(default: all on a GPU, demo_world on a CPU)")  # fmt: skip
    add("--versions", **many, metavar="NAME", help="xla, mosaic_gpu, triton (default: all)")
    add("--repeats", **one, type=int, metavar="N", help="timed calls of each row (default: 20)")
    add("--seed", **one, type=int, metavar="N", help="of keys and values (default: 0)")
    add("--out", default="outputs/bench", metavar="DIR", help="folder of the results (default: outputs/bench)")
    add("--debug", **one, action="store_true", help="show the traceback of an error")


def _bench_kernels(args: argparse.Namespace) -> None:
    from worldkv_jax.benchmarks.kernels import KernelsBenchmark, run_kernels_benchmark
    from worldkv_jax.benchmarks.timing import Effort
    from worldkv_jax.cli.progress import row_bar
    from worldkv_jax.sessions.results import prepare_output, print_table, write_json

    given = {name: vars(args)[name] for name in ("shapes", "versions", "seed") if name in args}
    if "repeats" in args:
        given["effort"] = Effort(repeats=args.repeats, budget_s=5.0)
    benchmark = KernelsBenchmark(**given)
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
