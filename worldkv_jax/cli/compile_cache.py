"""Compiled programs are kept from one run to the next, in a folder among the user's caches."""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

MOST_BYTES = 2 * 1024**3
"""What the folder holds at most; the programs that were used least lately go first."""
_OWN = "own folder"
_PROGRAM, _TIME, _LOCK = "-cache", "-atime", ".lockfile"  # as `jax._src.lru_cache` names them
_PATIENCE = 5.0  # seconds


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
    except (OSError, RuntimeError) as error:  # such as: no home
        if asked:
            raise
        print(f"compiled programs are not kept: {error} (--no-compile-cache says so in advance)", file=sys.stderr)
        return
    try:
        mend_folder(folder)
    except OSError as error:
        print(f"compiled programs in {folder} stay as they are: {error}", file=sys.stderr)
    # The command line is a program of its own, so it may say what holds for the whole process.
    jax.config.update("jax_compilation_cache_max_size", MOST_BYTES)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)  # a rollout has dozens of quick ones
    compilation_cache.set_cache_dir(str(folder))
    compilation_cache.reset_cache()  # whatever was compiled before has fixed that there is none


def mend_folder(folder: Path) -> None:
    """Let JAX use a folder of compiled programs in which one was cut while it was written.

    JAX writes a program and then, where the folder is bounded, when it was used. A process that is killed between, or a
    disk that is full, leaves a program without that. From then on JAX stores nothing: it looks for all times, and ends
    at the missing one; and the cut program, once asked for, gets its time and is never written whole. A folder that no
    bound was ever set for has neither times nor a lock, and its programs are whole.

    Raises:
        OSError: files that cannot be written or removed.
    """
    from filelock import FileLock, Timeout

    bounded = (folder / _LOCK).exists()
    try:
        with FileLock(folder / _LOCK, timeout=_PATIENCE):  # JAX's own: who holds it may be between the two
            programs = {path.name.removesuffix(_PROGRAM): path for path in folder.glob(f"*{_PROGRAM}")}
            times = {path.name.removesuffix(_TIME) for path in folder.glob(f"*{_TIME}")}
            for key in programs.keys() - times:
                if bounded or times:
                    programs[key].unlink()
                else:
                    used = programs[key].stat().st_mtime_ns
                    (folder / f"{key}{_TIME}").write_bytes(used.to_bytes(8, "little"))
    except Timeout:
        return  # somebody is at work there, and leaves it whole or to the next


def own_folder() -> Path:
    """Return this program's folder among the user's caches.

    Raises:
        RuntimeError: the user has no home.
    """
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "worldkv-jax"
