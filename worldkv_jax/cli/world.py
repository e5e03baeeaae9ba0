"""The command ``worldkv world``: shows what a world folder holds, checks, copies and thins it."""

import argparse
import typing

if typing.TYPE_CHECKING:
    from worldkv_jax.sessions import WorldFolder

HELP = "show a world that was kept, check it, copy a part of its past, drop moments of it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add = parser.add_argument
    add("world", metavar="DIR", help="folder of `worldkv rollout --world`")
    add("--verify", action="store_true", help="read everything and compare checksums")
    add("--plot", default=None, metavar="PNG", help="draw the cameras of its path from above")
    add("--copy", default=None, metavar="DIR", help="make a new folder of its past; files are shared where possible")
    add("--at", type=int, default=None, metavar="CHUNK", help="of --copy: how many chunks (default: all)")
    add("--prune", action="store_true", help="remove what no moment needs")
    add("--every", type=int, default=None, metavar="N", help="of --prune: keep a moment every N chunks, and the last")


def run(args: argparse.Namespace) -> None:
    """Do what was asked for, then show what is there."""
    from worldkv_jax.byte_counts import format_bytes
    from worldkv_jax.sessions.world_folder import WorldFolder, branch, prune

    if args.at is not None and args.copy is None:
        raise ValueError("--at says how much --copy takes; give both")
    if args.every is not None and not args.prune:
        raise ValueError("--every says what --prune keeps; give both")
    if args.every is not None and args.every < 1:
        raise ValueError(f"--every {args.every}: give at least 1")
    if args.copy is not None:
        _show(branch(args.world, args.copy, args.at))
        return
    if args.prune:
        print(f"{format_bytes(prune(args.world, every=args.every))} are free again")
    folder = WorldFolder(args.world)
    _show(folder)
    if args.verify:
        print(f"{folder.verify()} arrays are as they were written")
    if args.plot is not None:
        from worldkv_jax.media import save_figure
        from worldkv_jax.media.path_plot import path_figure

        print(save_figure(args.plot, path_figure(folder.cameras(), title=args.world)))


def _show(folder: "WorldFolder") -> None:
    """Print what a world is, how long, and what it takes."""
    from worldkv_jax.byte_counts import format_bytes
    from worldkv_jax.counts import counted
    from worldkv_jax.sessions.identity import key_from_json
    from worldkv_jax.sessions.seeds import seed_of

    manifest = folder.manifest
    identity, made = manifest.identity, manifest.made_with
    worlds = f", {identity['worlds']} worlds" if identity["worlds"] > 1 else ""
    chunks, memory = counted(manifest.end, "chunk"), identity["memory"]["mode"]
    print(f"{folder.files}: {chunks} of {identity['model']}{worlds}, {memory} memory")
    seed = seed_of(key_from_json(manifest.key))
    noise = "given" if seed is None else f"of seed {seed}"
    print(f"noise {noise}; made with jax {made['jax']} on {made['platform']} ({made['device']})")
    print(f"moments to go on from: {', '.join(map(str, sorted(manifest.points))) or 'none'}")
    for parent in manifest.parents:
        print(f"branched from {parent['folder']} at chunk {parent['chunk']}")
    sizes = folder.bytes_by_part()
    parts = ", ".join(f"{name} {format_bytes(size)}" for name, size in sizes.items())
    print(f"{format_bytes(sum(sizes.values()))}: {parts}")
