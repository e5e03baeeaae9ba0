"""The command ``worldkv bench play``: a server of the demo world under load, as its clients see it."""

import argparse

from worldkv_jax.cli.bench_flags import add_benchmark, add_group, given_to


def add_play(benchmarks) -> None:
    """Add the sub-command."""
    text = "play the demo world on a server of its own: frames a second, from key to picture, fairness; or a long soak"
    add = add_group(add_benchmark(benchmarks, "play", text, _bench_play))
    add("--seconds", type=float, metavar="S", help="of play for each number of sessions (default: 20)")
    add("--sessions", nargs="+", type=int, metavar="N", help="that play at once (default: 1 8; of a soak: 8)")
    add("--memories", nargs="+", metavar="NAME", help="of each session's lanes, one or two (default: default)")
    add("--minutes", type=float, metavar="M", help="let sessions come, go, fork and die at random for so long")


def _bench_play(args: argparse.Namespace) -> None:
    import tempfile
    from pathlib import Path

    from worldkv_jax.cli.play import check_extra
    from worldkv_jax.sessions.results import prepare_output, write_json

    check_extra()
    from worldkv_jax.benchmarks.play import PlayBenchmark, run_play_benchmark
    from worldkv_jax.benchmarks.play_soak import PlaySoak, run_play_soak
    from worldkv_jax.play.local_server import local_server

    folder = prepare_output(args.out, writes=["play.json", "play_soak.json"])
    most = max(args.sessions) if "sessions" in args else 8
    with tempfile.TemporaryDirectory(prefix="play-", dir=folder) as state:
        server = ["demo-world", "--state", state, "--leave-seconds", "5", "--sessions", str(2 * most)]
        with local_server(*server, "--sessions-per-client", str(2 * most)) as address:
            if "minutes" in args:
                result = run_play_soak(address, PlaySoak(minutes=args.minutes, sessions=most))
                _print_soak(result)
                name = "play_soak.json"
            else:
                result = run_play_benchmark(address, PlayBenchmark(**given_to(PlayBenchmark, args)))
                _print_rows(result)
                name = "play.json"
    print(f"wrote {write_json(Path(folder) / name, result)}")


def _print_rows(result: dict) -> None:
    print(f"{result['hardware']['device']}, {result['hardware']['cores']} cores, load {result['load_average']:.1f}")
    for row in result["rows"]:
        fps, delay = row["fps"], {name: f"{1e3 * value:.0f} ms" for name, value in row["key_to_picture_s"].items()}
        print(
            f"{row['sessions']} sessions: {fps['slowest']:.1f} to {fps['fastest']:.1f} frames a second each (ratio "
            f"{row['fairness']:.2f}), {fps['together']:.1f} together; from key to picture {delay['p50']} at the "
            f"median, {delay['p95']} at the 95th percentile of {row['keys']}; a chunk takes {row['compute_ms']:.0f} ms"
        )


def _print_soak(result: dict) -> None:
    from worldkv_jax.byte_counts import format_bytes

    counts, sizes = result["counts"], [format_bytes(size) for size in result["resident_bytes"]]
    print(f"{counts['visits']} visits, {counts['returns']} of them to come back, {counts['deaths']} cut off")
    print(f"{counts['chunks']:,} chunks, {counts['changes']} branches, steps back and resets")
    print(f"{len(counts['lost'])} visits failed", *counts["lost"][:10], sep="\n  ")
    if sizes:
        print(f"resident memory: {sizes[0]} at first, {sizes[len(sizes) // 2]} half way, {sizes[-1]} at the end")
