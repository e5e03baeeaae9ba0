"""Flags of a rollout that keeps its world in a folder, or goes on with one."""

import argparse
import contextlib
import itertools
import os
import sys
import typing
from collections.abc import Generator, Iterable
from pathlib import Path

from worldkv_jax.cli.flags import errors_in_flags, from_flags
from worldkv_jax.counts import counted
from worldkv_jax.files import make_writable_folder
from worldkv_jax.sessions.memory_options import MemoryOptions

if typing.TYPE_CHECKING:
    from worldkv_jax.sessions import Session, WorldFolder
    from worldkv_jax.sessions.answers import Answers
    from worldkv_jax.sessions.saving import WorldSaver

SAVE_EVERY = 5


def add_world_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    group = parser.add_argument_group("worlds that last")
    group.add_argument("--world", metavar="DIR", help="keep the world in this folder, or at this URL, while it grows")
    group.add_argument(
        "--save-every", type=int, metavar="N", help=f"chunks from one kept moment to the next (default: {SAVE_EVERY})"
    )
    group.add_argument(
        "--from-world",
        metavar="DIR",
        help="go on with this world; the other options say the whole path, of which its past is the beginning",
    )
    group.add_argument("--at", type=int, metavar="CHUNK", help="go on from when it had so many chunks (default: all)")
    group.add_argument("--session", metavar="FILE", help="write what made the world, for `worldkv replay`")
    group.add_argument("--until", type=int, metavar="CHUNK", help="stop when the world has so many chunks")


def check_world_flags(args: argparse.Namespace, session: "Session") -> "WorldFolder | None":
    """Check the flags before anything is loaded; return the world to go on with.

    Raises:
        OSError: there is no such world.
        ValueError: flags that do not go together, or a world that does not fit.
    """
    from worldkv_jax.sessions import WorldFolder
    from worldkv_jax.sessions.continuing import check_before_loading
    from worldkv_jax.sessions.world_files import open_files
    from worldkv_jax.sessions.world_manifest import has_world

    if args.at is not None and args.from_world is None:
        raise ValueError("--at says a moment of the world of --from-world; give both")
    if args.save_every is not None and args.world is None:
        raise ValueError("--save-every says how often the world of --world is kept; give both")
    if args.session is not None and args.from_world is not None:
        raise ValueError("--session says how a world is made from the beginning, and --from-world goes on with one")
    if args.session is not None:  # said now, and not when all is made
        if os.path.lexists(args.session) and not args.force:
            raise ValueError(f"{args.session} is there already; name another file, or write over it with --force")
        make_writable_folder(Path(args.session).parent)
    if args.until is not None and not 1 <= args.until <= session.chunks:
        raise ValueError(f"--until {args.until}: give 1 to {session.chunks}, the chunks of the whole path")
    if args.world is not None and not _same(args.world, args.from_world) and has_world(open_files(args.world)):
        raise ValueError(f"{args.world} holds a world: go on by --from-world {args.world}, or name a new folder")
    if args.from_world is None:
        return None
    folder = WorldFolder(args.from_world)
    with errors_in_flags(args.model_parser):
        check_before_loading(session, folder.manifest, args.from_world)
    end = folder.manifest.end
    at = end if args.at is None else args.at
    if not 0 <= at <= end:
        raise ValueError(f"--at {at}: {args.from_world} has chunks up to {end}")
    if at != end and _same(args.world, args.from_world):
        raise ValueError(f"--at {at} is a branch, and {args.world} goes on to {end}: name a new folder by --world")
    if at >= (args.until or session.chunks):
        raise ValueError(
            f"the world has {counted(at, 'chunk')} already, and the whole path {args.until or session.chunks}"
        )
    return folder


@contextlib.contextmanager
def kept_world(
    args: argparse.Namespace, session: "Session", at: int, answers: "Answers | None"
) -> Generator["WorldSaver | None"]:
    """Offer what keeps the world in the folder of ``--world``, and say how that ends; ``None`` without that flag.

    Where the disk fills up the rollout goes on, see `check_kept`.
    """
    from worldkv_jax.sessions.world_folder import branch

    if args.world is None:
        yield None
        return
    if args.from_world is not None and not _same(args.world, args.from_world):
        branch(args.from_world, args.world, at)

    def tell(error: OSError) -> None:
        reason = error.strerror or str(error)
        print(f"the rollout goes on, but the world in {args.world} stays as it is: {reason}", file=sys.stderr)

    every = SAVE_EVERY if args.save_every is None else args.save_every
    with session.saving(args.world, every=every, answers=answers, stopped=tell) as saver:
        yield saver
    if saver.failed is None:
        print(f"the world is kept in {args.world}: {counted(saver.folder.manifest.end, 'chunk')}")


def check_kept(args: argparse.Namespace, saver: "WorldSaver | None") -> None:
    """Raise OSError, when all else is written and said, where a world could not be kept to its end."""
    if saver is not None and saver.failed is not None:
        kept, reason = saver.folder.manifest.end, saver.failed.strerror or str(saver.failed)
        raise OSError(
            f"the world in {args.world} ends after {counted(kept, 'chunk')}, and the rollout does not: {reason}; with "
            f"room on the disk go on from there by --from-world {args.world}"
        )


def write_session_file(
    args: argparse.Namespace, session: "Session", latents: list[str], answers: "Answers | None"
) -> Path:
    """Write the file of ``--session``; ``latents`` are the checksums of all chunks."""
    from worldkv_jax.sessions.identity import fingerprint, made_with
    from worldkv_jax.sessions.session_file import SessionFile, options_given, write_session

    file = SessionFile(
        model=args.model,
        options=options_given(from_flags(args.options_class, args)),
        memory=from_flags(MemoryOptions, args).given(),
        seed=args.seed or 0,
        made_with=made_with(),
        weights=fingerprint(session.params),
        latents=tuple(latents),
        answers=None if answers is None else tuple(answers.given[: len(latents)]),
    )
    return write_session(args.session, file)


def inputs_to_come(
    args: argparse.Namespace, session: "Session", folder: "WorldFolder | None", at: int
) -> tuple[Iterable, "Answers | None"]:
    """Return what the chunks to come are given, and who notes it where it comes live.

    Raises:
        ValueError: the path begins otherwise than the world did, or nothing says what was answered live before.
    """
    answers = None
    if session.live is None:
        whole = list(session.inputs())
        past, inputs = whole[:at], whole[at : args.until]
    else:
        from worldkv_jax.sessions.answers import Answers

        known = [] if folder is None else folder.manifest.answers[:at]
        if len(known) < at:
            raise ValueError(
                f"{args.from_world} says what was answered up to chunk {len(known)}, and not up to {at}: only a world "
                "that was kept of live inputs goes on with them"
            )
        answers = Answers(session.live([answer["given"] for answer in known]), known)
        whole = session.inputs(answers)
        past = list(itertools.islice(whole, at))
        inputs = itertools.islice(whole, None if args.until is None else args.until - at)
    if folder is not None and (found := folder.first_difference(past)) is not None:
        raise ValueError(
            f"chunk {found[0]} of the world was given other {found[1]} than the path says: give the whole path, of "
            "which the world's past is the beginning"
        )
    return inputs, answers


def _same(one: str | None, other: str | None) -> bool:
    from worldkv_jax.sessions.world_files import open_files

    return one is not None and other is not None and open_files(one).place == open_files(other).place
