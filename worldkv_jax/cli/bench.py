"""The command ``worldkv bench``: measures what the library costs on this machine."""

import argparse

from worldkv_jax.cli.bench_conversion import add_conversion
from worldkv_jax.cli.bench_kernels import add_kernels
from worldkv_jax.cli.bench_memory import add_memory
from worldkv_jax.cli.bench_peers import add_peers
from worldkv_jax.cli.bench_play import add_play
from worldkv_jax.cli.bench_rollout import add_rollout
from worldkv_jax.cli.bench_speed import add_speed
from worldkv_jax.cli.bench_world import add_world

HELP = "measure speed and memory on this machine"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one sub-command for each benchmark."""
    benchmarks = parser.add_subparsers(title="benchmarks", dest="benchmark", metavar="BENCHMARK", required=True)
    add_memory(benchmarks)
    add_kernels(benchmarks)
    add_conversion(benchmarks)
    add_rollout(benchmarks)
    add_speed(benchmarks)
    add_world(benchmarks)
    add_play(benchmarks)
    add_peers(benchmarks)


def run(args: argparse.Namespace) -> None:
    """Run the chosen benchmark."""
    args.measure(args)
