"""The command ``worldkv convert``: turns PyTorch checkpoints into ones that load fast and sharded."""

import argparse
import typing

if typing.TYPE_CHECKING:
    from checkpoints.manifest import Manifest
    from checkpoints.planning import Conversion

HELP = "convert a PyTorch checkpoint: checked, in little memory, resumable"

_DTYPES = {"bf16": "bfloat16", "f16": "float16", "f32": "float32", "int8": "int8", "fp8": "fp8"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add = parser.add_argument
    add("model", metavar="MODEL", help="model of the checkpoint, such as lingbot-world-fast")
    add("source", metavar="SOURCE", help="model folder, or the file or folder of one of its networks")
    add("out", metavar="OUT", nargs="?", help="new folder; it appears only when it is complete")
    add(
        "--dtype",
        choices=_DTYPES,
        help="cast weights; int8 and fp8: kernels of a transformer's blocks alone (default: keep what the source has)",
    )
    add("--only", nargs="+", metavar="PART", default=(), help="networks to convert, such as dit (default: all)")
    add("--dry-run", action="store_true", help="check every tensor, print which becomes what, write nothing")
    add("--force", action="store_true", help="replace the converted checkpoint in OUT")
    add("--no-hash", action="store_true", help="do not note the SHA-256 of the source files")


def run(args: argparse.Namespace) -> None:
    """Check the source, say what will be done, and do it."""
    from checkpoints.convert import check_out, run_conversion
    from checkpoints.planning import plan_conversion
    from checkpoints.registry import load_model, load_models
    from worldkv_jax.cli.progress import ByteBars

    if args.out is None and not args.dry_run:
        raise ValueError("OUT is missing: give the folder to write, or --dry-run to write nothing")
    model = load_model(args.model)
    if args.out is not None:
        check_out(args.out, force=args.force)
    conversion = plan_conversion(args.source, model, dtype=_DTYPES.get(args.dtype), only=args.only, known=load_models())
    _print_plan(conversion)
    if args.dry_run:
        _print_keys(conversion)
    _print_needs(conversion, args.out)
    if args.dry_run or args.out is None:
        return
    with ByteBars() as progress:
        manifest = run_conversion(conversion, args.out, force=args.force, hashes=not args.no_hash, progress=progress)
    if not args.no_hash:
        _print_files(manifest)
    print(f"wrote {args.out}")


def _print_plan(conversion: "Conversion") -> None:
    from worldkv_jax.sessions.results import print_table

    print(f"{conversion.model.name} from {conversion.path}")
    rows = []
    for name, found in conversion.matches.items():
        tensors = [found.source.tensors[key] for key in found.targets]
        written = {plan.dtype.name for plan in conversion.arrays[name].values()}
        rows.append(
            {
                "part": name,
                "files": len(found.source.files),
                "tensors": len(tensors),
                "weights": found.parameters,
                "names": found.names,
                "dtype": ", ".join(sorted({tensor.dtype.name for tensor in tensors})),
                "to": ", ".join(sorted(written)),
                "left out": len(found.left_out),
            }
        )
    print_table(rows, ("part", "files", "tensors", "weights", "names", "dtype", "to", "left out"))
    if conversion.absent:
        print(f"not converted: {', '.join(conversion.absent)}")


def _print_keys(conversion: "Conversion") -> None:
    """Print which tensors become which parameter."""
    from checkpoints.listing import fold

    for name, found in conversion.matches.items():
        print(f"\n{name}: tensors in the source -> parameter")
        sources: dict[str, list[str]] = {}
        for key, target in found.targets.items():
            sources.setdefault(target.path, []).append(key)
        for path, plan in conversion.arrays[name].items():
            print(f"  {', '.join(fold(sources[path]))} -> {path} {list(plan.shape)} {plan.dtype.name}")
        for key in fold(found.left_out):
            print(f"  {key} -> left out")


def _print_needs(conversion: "Conversion", out: str | None) -> None:
    import shutil
    from pathlib import Path

    from checkpoints.planning import MEMORY_BYTES
    from worldkv_jax.byte_counts import format_bytes, format_file_size

    free = ""
    if out is not None:
        folder = next(folder for folder in Path(out).absolute().parents if folder.exists())
        free = f" of {format_file_size(shutil.disk_usage(folder).free)} free"
    read = format_file_size(sum(found.source.size for found in conversion.matches.values()))
    print(
        f"\nreads {read}, writes {format_file_size(conversion.nbytes)}{free}, takes {format_bytes(MEMORY_BYTES)} of "
        "memory beside the program"
    )


def _print_files(manifest: "Manifest") -> None:
    import sys

    for record in manifest.components.values():
        for file in record.files:
            if file.published:
                print(f"{file.name}: {file.published} (sha256 {file.sha256})")
            else:
                text = f"warning: {file.name} is not among the published files known here (sha256 {file.sha256})"
                print(text, file=sys.stderr)
