"""Compiled programs are kept from one run to the next, in a folder among the user's caches."""

import argparse
import contextlib
import os
import re
import sys
from pathlib import Path
from typing import Any

MOST_BYTES = 2 * 1024**3
"""What the folder holds at most; the programs that were used least lately go first."""
_OWN = "own folder"
_PROGRAM = re.compile(r"(.+-[0-9a-f]{64})-cache")
_JAX_LOCK, _LOCK_SECONDS = ".lockfile", 10


def add_cache_flag(parser: argparse.ArgumentParser) -> None:
    """Add ``--compile-cache`` and ``--no-compile-cache``."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--compile-cache",
        nargs="?",
        const=_OWN,
        metavar="DIR",
        help="keep compiled programs there and take them from there next time (default: ~/.cache/worldkv-jax, at most "
        "2 GiB; trust the folder as you trust the program)",
    )
    group.add_argument("--no-compile-cache", action="store_true", help="compile anew, and keep nothing")


def use_cache(args: argparse.Namespace) -> None:
    """Tell jax where to keep compiled programs; where they cannot be kept, warn and go on.

    What compiling leaves free in the heap goes back to the system, kept programs or not.

    A folder that jax was given already, in its environment or by a program, stays as it is unless another is asked for.

    Raises:
        OSError: a folder that was asked for cannot be made.
    """
    from worldkv_jax.heap import give_back_after_compiling

    give_back_after_compiling()
    if args.no_compile_cache:
        return
    import jax
    from jax.experimental.compilation_cache import compilation_cache

    asked = args.compile_cache is not None
    settings: Any = jax.config  # JAX does not type its attributes
    if not asked and (settings.jax_compilation_cache_dir or not settings.jax_enable_compilation_cache):
        return
    try:
        folder = own_folder() if args.compile_cache in (None, _OWN) else Path(args.compile_cache)
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(f"{folder} cannot be written to")
        _drop_unfinished(folder)
    except (OSError, RuntimeError) as error:  # such as: no home
        if asked:
            raise
        print(f"compiled programs are not kept: {error} (--no-compile-cache says so in advance)", file=sys.stderr)
        return
    # The command line is a program of its own, so it may say what holds for the whole process.
    jax.config.update("jax_compilation_cache_max_size", MOST_BYTES)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)  # a rollout has dozens of quick ones
    compilation_cache.set_cache_dir(str(folder))
    compilation_cache.reset_cache()  # whatever was compiled before has fixed that there is none


def _drop_unfinished(folder: Path) -> None:
    """Remove programs whose writer was killed while it wrote: one of them, and JAX keeps no other any more.

    It writes a program, then when that was used last, which it asks of all before it keeps another one.
    """
    from filelock import FileLock, Timeout

    with contextlib.suppress(Timeout), FileLock(folder / _JAX_LOCK, timeout=_LOCK_SECONDS):
        for path in folder.iterdir():
            if (program := _PROGRAM.fullmatch(path.name)) and not path.with_name(f"{program[1]}-atime").exists():
                path.unlink()


def own_folder() -> Path:
    """Return this program's folder among the user's caches.

    Raises:
        RuntimeError: the user has no home.
    """
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "worldkv-jax"
