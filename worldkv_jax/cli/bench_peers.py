"""The command ``worldkv bench peers``: ours beside the PyTorch implementations."""

import argparse

from worldkv_jax.cli.bench_flags import add_benchmark, add_group

GROUP = "worldkv_jax.peers"
"""Entry points ``module:function`` of what can be compared with, see `worldkv_jax.benchmarks.pairs.Peer`."""


def add_peers(benchmarks) -> None:
    """Add the sub-command."""
    from worldkv_jax.entry_points import find_entries

    names = list(find_entries(GROUP))
    text = "time ours beside PyTorch's implementations in turn; needs the extra torch"
    parser = add_benchmark(benchmarks, "peers", text, _bench_peers)
    parser.add_argument(
        "peers", nargs="*", metavar="PEER", help=f"{', '.join(names) or 'none is installed'} (default: all)"
    )
    add = add_group(parser)
    add("--rounds", type=int, default=5, metavar="N", help="timed rounds of each (default: 5)")
    add(
        "--upstream",
        action="append",
        default=[],
        metavar="DIR",
        help="clone of a repository that some compare with; may be repeated, nothing of it is copied",
    )
    add(
        "--memory",
        action="store_true",
        default=False,
        help="also the memory that a process of ours takes, and one of theirs",
    )


def _bench_peers(args: argparse.Namespace) -> None:
    import tempfile
    from pathlib import Path

    from worldkv_jax.benchmarks.peers import run_peer_benchmark
    from worldkv_jax.cli.progress import row_bar
    from worldkv_jax.entry_points import find_entries
    from worldkv_jax.names import check_name
    from worldkv_jax.sessions.results import prepare_output, print_table, write_json

    known = find_entries(GROUP)
    peers = {name: known[check_name("peer", name, known)] for name in args.peers or known}
    upstream = tuple(Path(folder).resolve() for folder in args.upstream)
    folder = prepare_output(args.out, writes=["peers.json"])
    with tempfile.TemporaryDirectory(prefix="peers-", dir=folder) as scratch:
        result = run_peer_benchmark(
            peers, args.rounds, Path(scratch), upstream=upstream, memory=args.memory, progress=row_bar
        )
    print(f"{result['hardware']['device']}, jax {result['versions']['jax']}, {result['date']}: ours over theirs")
    columns = {"peer": "peer", "ours_s": "ours s", "theirs_s": "theirs s", "ratio": "ratio", "least": "least"}
    columns |= {"most": "most", "processor_ratio": "of processor s", "deviation": "deviation"}
    columns |= {"peak_ratio": "of memory"} if args.memory else {}
    columns |= {"what": "what"}
    compared = [row for row in result["rows"] if "skipped" not in row]
    print_table([{**row, "deviation": f"{row['deviation']:.0e}"} for row in compared], columns)
    for row in result["rows"]:
        if "skipped" in row:
            print(f"skipped: {row['peer']}, {row['skipped']}")
    print(f"wrote {write_json(folder / 'peers.json', result)}")
