"""The command ``worldkv export``: writes converted weights back as safetensors for PyTorch."""

import argparse

HELP = "write a converted checkpoint back as safetensors with PyTorch's names"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add = parser.add_argument
    add("source", metavar="CONVERTED", help="folder that worldkv convert wrote")
    add("out", metavar="OUT", help="file NAME.safetensors of one network, or else a folder for all of them")
    add("--only", nargs="+", metavar="PART", default=(), help="networks to export, such as dit (default: all)")
    add("--force", action="store_true", help="replace files that exist")


def run(args: argparse.Namespace) -> None:
    """Export the networks one by one."""
    from pathlib import Path

    from checkpoints.export import export_checkpoint
    from checkpoints.manifest import read_manifest
    from checkpoints.registry import load_model
    from worldkv_jax.byte_counts import format_file_size
    from worldkv_jax.cli.progress import ByteBars
    from worldkv_jax.names import check_name

    manifest = read_manifest(args.source)
    names = [check_name("part", name, manifest.components) for name in args.only] or list(manifest.components)
    components = {component.name: component for component in load_model(manifest.model).components}
    out = Path(args.out)
    if out.suffix.lower() == ".safetensors":
        if len(names) > 1:
            raise ValueError(
                f"{out} is one file, but there are {', '.join(names)}; give a folder, or choose with --only"
            )
        files = {names[0]: out}
    else:
        files = {name: out / f"{name}.safetensors" for name in names}
    for name, file in files.items():
        check_name("part", name, components)
        with ByteBars() as bars:
            done = export_checkpoint(
                args.source,
                file,
                components[name],
                force=args.force,
                progress=lambda size, total, bars=bars, name=name: bars(name, size, total),
            )
        print(f"wrote {file}: {done.tensors} tensors, {format_file_size(done.size)}")
        if done.cast:
            print(f"  not the original: weights were cast to {done.cast} when they were converted")
        if done.left_out:
            print(f"  without {len(done.left_out)} tensors of the original that the network does not need")
