"""The command ``worldkv inspect``: says what a checkpoint is, and whether it is whole."""

import argparse
import typing

if typing.TYPE_CHECKING:
    from checkpoints.inspection import Inspection

HELP = "say what a checkpoint is, what it holds, and whether it is whole"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add = parser.add_argument
    add("path", metavar="PATH", help="converted checkpoint, model folder, file, or folder of tensors")
    add("--verify", action="store_true", help="read all data: compare checksums, hash files")


def run(args: argparse.Namespace) -> None:
    """Print what is there; what is wrong with it is an error."""
    from checkpoints.inspection import inspect_checkpoint
    from checkpoints.registry import load_models
    from worldkv_jax.cli.progress import ByteBars

    with ByteBars() as bars:
        found = inspect_checkpoint(
            args.path, load_models(), verify=args.verify, tell=lambda size: bars("reading", size, None)
        )
    kind = "converted checkpoint" if found.manifest else "PyTorch checkpoint"
    print(f"{found.path}: {kind}, {found.model or 'of no model known here'}")
    _print_networks(found)
    if found.absent:
        print(f"not there: {', '.join(found.absent)}")
    if found.manifest:
        cast = f"cast to {found.manifest.dtype}" if found.manifest.dtype else "dtypes as in the source"
        print(f"{cast}; written by {', '.join(f'{name} {v}' for name, v in found.manifest.versions.items())}")
    _print_files(found)
    if found.problems:
        raise ValueError("\n".join([f"{found.path} is not whole:", *found.problems]))
    print("whole; all data is as its checksums say" if args.verify else "whole (as far as sizes and headers tell)")


def _print_networks(found: "Inspection") -> None:
    from worldkv_jax.byte_counts import format_file_size
    from worldkv_jax.sessions.results import print_table

    rows = [
        {
            "part": network.name or "unknown",
            "files": len(network.files),
            "size": format_file_size(network.size),
            "tensors": network.tensors,
            "weights": network.parameters,
            "dtypes": ", ".join(f"{name} x{count}" for name, count in network.dtypes.items()),
            "names": network.naming,
            "whole": "no" if network.problems else "yes",
        }
        for network in found.networks
    ]
    print_table(rows, ("part", "files", "size", "tensors", "weights", "dtypes", "names", "whole"))


def _print_files(found: "Inspection") -> None:
    from worldkv_jax.byte_counts import format_file_size

    for network in found.networks:
        for file in network.files:
            digest = f", sha256 {file.sha256}" if file.sha256 else ""
            known = f", {file.published or 'not a published file known here'}" if file.sha256 else ""
            print(f"  {file.name}: {format_file_size(file.size)}{digest}{known}")
