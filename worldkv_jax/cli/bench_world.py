"""The command ``worldkv bench world MODEL``: what it costs to fork a model's worlds and to save them."""

import argparse

from worldkv_jax.cli.bench_flags import add_benchmark, add_group, given_to
from worldkv_jax.cli.compile_cache import add_cache_flag, use_cache
from worldkv_jax.cli.models import add_memory_flags, add_models, load_session, open_session


def add_world(benchmarks) -> None:
    """Add the sub-command, with one of its own for each model."""
    text = "time forks of a world, the first step after one, and saving beside the generation"
    add_models(add_benchmark(benchmarks, "world", text, _bench_world), _add_common)


def _add_common(parser: argparse.ArgumentParser) -> None:
    add_memory_flags(parser)
    add = add_group(parser)
    add("--forks", type=int, metavar="N", help="forks made at once (default: 1000)")
    add("--repeats", type=int, metavar="N", help="steps and rollouts timed (default: 5)")
    add("--every", type=int, metavar="N", help="chunks from one kept moment to the next (default: 1)")
    add_cache_flag(parser)


def _bench_world(args: argparse.Namespace) -> None:
    import tempfile
    from pathlib import Path

    from worldkv_jax.benchmarks.world import WorldBenchmark, run_world_benchmark
    from worldkv_jax.byte_counts import format_bytes
    from worldkv_jax.sessions.results import prepare_output, write_json

    benchmark = WorldBenchmark(**given_to(WorldBenchmark, args))
    use_cache(args)
    session = open_session(args)
    folder = prepare_output(args.out, writes=["world.json"])
    session = load_session(session, args)
    with tempfile.TemporaryDirectory(prefix="worlds-", dir=folder) as scratch:
        result = {"model": args.model, **run_world_benchmark(session, benchmark, Path(scratch))}
    forks, saving = result["forks"], result["saving"]
    print(f"{args.model}, {session.chunks} chunks, bank in {result['tier']}, {result['hardware']['device']}")
    print(f"{forks['forks']:,} forks: {1e3 * forks['seconds']:.3f} ms, {format_bytes(forks['bytes'])}")
    print(
        f"step: {1e3 * forks['first_step_s']:.1f} ms as the first of a fork, which then holds "
        f"{format_bytes(forks['diverged_bytes'])} of its own; {1e3 * forks['other_step_s']:.1f} ms otherwise"
    )
    print(
        f"saving: {1e3 * saving['writing_s_per_chunk']:.1f} ms of writing a chunk, {saving['not_hidden_share']:.0%} "
        f"of it not hidden behind {1e3 * saving['plain_s_per_chunk']:.1f} ms of generating"
    )
    sizes = ", ".join(f"{name} {format_bytes(size)}" for name, size in saving["bytes"].items())
    print(f"on disk: {sizes}; a kept moment is planned at {format_bytes(result['planned_point_bytes'])}")
    print(f"wrote {write_json(folder / 'world.json', result)}")
