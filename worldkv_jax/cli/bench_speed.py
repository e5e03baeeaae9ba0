"""The command ``worldkv bench speed MODEL``: what a chunk takes with each option that makes a model faster."""

import argparse

from worldkv_jax.cli.bench_flags import add_benchmark, add_group, given_to
from worldkv_jax.cli.compile_cache import add_cache_flag, use_cache
from worldkv_jax.cli.models import add_models, open_session


def add_speed(benchmarks) -> None:
    """Add the sub-command, with one of its own for each model."""
    text = "time the chunks of a model with fewer passes and with weights in eight bits, in turn"
    add_models(add_benchmark(benchmarks, "speed", text, _bench_speed), _add_common)


def _add_common(parser: argparse.ArgumentParser) -> None:
    add = add_group(parser)
    add("--length", type=int, metavar="N", help="chunks of the rollout (default: 30)")
    add("--rounds", type=int, metavar="N", help="times that all is gone through, in turn (default: 5)")
    add("--timed", type=int, metavar="N", help="chunks timed each time (default: 3)")
    add_cache_flag(parser)


def _bench_speed(args: argparse.Namespace) -> None:
    import dataclasses

    from worldkv_jax.benchmarks.speed import OPTIONS, SpeedBenchmark, run_speed_benchmark
    from worldkv_jax.sessions.results import prepare_output, print_table, write_json

    benchmark = SpeedBenchmark(**given_to(SpeedBenchmark, args))
    use_cache(args)
    name = f"speed_{args.model}"
    folder = prepare_output(args.out, writes=[f"{name}.json"])
    known = {field.name for field in dataclasses.fields(args.options_class)}
    result = run_speed_benchmark(
        lambda changes: open_session(argparse.Namespace(**{**vars(args), **changes}), memory=False, decode=False),
        [changes for changes in OPTIONS if changes.keys() <= known],
        benchmark,
    )
    result = {"model": args.model, **result}
    rows = [
        {
            "options": " ".join(f"--{name} {value}" for name, value in row["options"].items()) or "as released",
            "chunk": 1e3 * row["median_s"],
            "ratio": row["ratio"],
            "flops": row["flops"] / 1e12,
        }
        for row in result["rows"]
    ]
    print(f"{args.model}, a chunk of a rollout of {benchmark.length}, without decoding, {result['hardware']['device']}")
    print_table(rows, {"options": "options", "chunk": "ms", "ratio": "of it", "flops": "TFLOP"})
    print(f"wrote {write_json(folder / f'{name}.json', result)}")
