"""The option that keeps compiled programs from one run to the next."""

import argparse
import os
from pathlib import Path

_OWN = "own folder"


def add_cache_flag(parser: argparse.ArgumentParser) -> None:
    """Add ``--compile-cache``; without it jax decides, which keeps nothing unless its environment says so."""
    parser.add_argument(
        "--compile-cache",
        nargs="?",
        const=_OWN,
        metavar="DIR",
        help="keep compiled programs in a folder and take them from there next time (default folder: "
        "~/.cache/worldkv-jax; trust it as you trust the program)",
    )


def use_cache(args: argparse.Namespace) -> None:
    """Tell jax to keep compiled programs, if asked for.

    Raises:
        OSError: the folder cannot be made.
    """
    if args.compile_cache is None:
        return
    from jax.experimental.compilation_cache import compilation_cache

    folder = own_folder() if args.compile_cache == _OWN else Path(args.compile_cache)
    folder.mkdir(parents=True, exist_ok=True)
    compilation_cache.set_cache_dir(str(folder))
    compilation_cache.reset_cache()  # whatever was compiled before has fixed that there is none


def own_folder() -> Path:
    """Return this program's folder among the user's caches."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "worldkv-jax"
