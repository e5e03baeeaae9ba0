"""Options that choose the memory of a rollout, the same for every model."""

import argparse
import dataclasses

_CHANGES = {
    "mode": None,
    "sink": None,
    "recent": None,
    "retrieve": ("retrieval", "chunks"),
    "rule": ("retrieval", "rule"),
    "positions": ("retrieval", "positions"),
    "keep_ratio": ("compression", "keep_ratio"),
    "similarity": ("compression", "similarity"),
    "compress_at": ("compression", "at"),
    "pooled": ("compression", "pooled"),
    "tier": ("bank", "tier"),
    "storage": ("bank", "storage"),
    "capacity": ("bank", "capacity"),
    "when_full": ("bank", "when_full"),
}
BANK_FLAGS = tuple(name for name, place in _CHANGES.items() if place and place[0] == "bank")
"""Options of the bank, as they are called among the parsed ones."""
_MODES = {"full": "full", "sliding": "sliding", "sink-recent": "sink_recent", "worldkv": "worldkv"}
_TIERS = ("device", "pinned_host", "host")


def add_memory_flags(parser: argparse.ArgumentParser) -> None:
    """Add the options; all are optional, and none is set unless it was given."""
    group = parser.add_argument_group("memory (default: the model's own)")

    def add(flag, **options):
        group.add_argument(flag, default=argparse.SUPPRESS, **options)

    add("--memory", dest="mode", choices=_MODES, help="which past a chunk attends to")
    add("--profile", metavar="NAME", help="default, paper or official (the released code, quirk for quirk)")
    add("--sink", type=int, metavar="N", help="first latent frames, kept for ever")
    add("--recent", type=int, metavar="N", help="latent frames kept before the current chunk")
    add("--retrieve", type=int, metavar="K", help="stored chunks brought back")
    add(
        "--rule",
        metavar="NAME",
        help="how near a stored chunk is: camera, paper, released, overlap, coverage, attention",
    )
    add("--positions", metavar="NAME", help="time positions of retrieved keys: as_stored, rebased or auto")
    add("--keep-ratio", type=float, metavar="R", help="share of non-anchor tokens that is stored")
    add("--similarity", metavar="NAME", help="to the anchor: per_key or centroid")
    add("--compress-at", metavar="NAME", help="store or retrieval")
    add("--pooled", action=argparse.BooleanOptionalAction, help="choose tokens over all non-anchor frames together")
    add("--tier", choices=_TIERS, help="memory that holds the stored chunks")
    add("--storage", metavar="NAME", help="what they are stored in: model (its own dtype), int8 or float8")
    add("--capacity", type=int, metavar="N", help="chunks the bank holds")
    add("--when-full", metavar="NAME", help="error, drop_oldest or drop_most_redundant")


def memory_from_flags(args: argparse.Namespace):
    """Build the memory that the options describe, on top of a profile; ``None`` if none was given.

    Raises:
        ValueError: values that are not valid, or options that the chosen mode does not have.
    """
    from worldkv_jax.memory import MemoryConfig, profile

    given = {name: getattr(args, name) for name in _CHANGES if hasattr(args, name)}
    if not given and not hasattr(args, "profile"):
        return None
    mode = _MODES[given.pop("mode", "worldkv")]
    frames = {f"{name}_frames": given.pop(name) for name in ("sink", "recent") if name in given}
    if mode != "worldkv":
        others = [*given, *(["profile"] if hasattr(args, "profile") else [])]
        if others:
            flags = ", ".join(f"--{name.replace('_', '-')}" for name in others)
            raise ValueError(f"--memory {args.mode} has no bank, so {flags} means nothing; use --memory worldkv")
        return MemoryConfig(mode=mode, **frames)
    config = dataclasses.replace(profile(getattr(args, "profile", "default")), **frames)
    for name, value in given.items():
        part, field = _CHANGES[name]
        config = dataclasses.replace(config, **{part: dataclasses.replace(getattr(config, part), **{field: value})})
    return config
