"""The command ``worldkv replay``: makes the world of a session file again, and says whether it is the same."""

import argparse
import sys

from worldkv_jax.cli.compile_cache import add_cache_flag, use_cache
from worldkv_jax.counts import counted

HELP = "make the world of a session file again, bit for bit"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("session", metavar="FILE", help="of `worldkv rollout --session`")
    parser.add_argument("--out", default="outputs/replay", metavar="DIR", help="folder for video and report")
    parser.add_argument("--no-decode", action="store_true", help="make latents only, no video")
    parser.add_argument("--force", action="store_true", help="write over an earlier replay")
    add_cache_flag(parser)


def run(args: argparse.Namespace) -> None:
    """Open the model, roll out, and compare."""
    from worldkv_jax.sessions.array_store import describe_array
    from worldkv_jax.sessions.identity import fingerprint, made_with
    from worldkv_jax.sessions.recording import WRITES, recording
    from worldkv_jax.sessions.results import prepare_output
    from worldkv_jax.sessions.session_file import read_session

    use_cache(args)
    file = read_session(args.session)
    session = file.asked().check(file.asked_memory(), decode=not args.no_decode)
    folder = prepare_output(args.out, writes=WRITES, force=args.force)
    session = session.load()
    for note in session.notes:
        print(f"note: {note}", file=sys.stderr)
    here, weights = made_with(), fingerprint(session.params)
    other = [
        f"{name} {value}, here {here.get(name)}" for name, value in file.made_with.items() if here.get(name) != value
    ]
    if weights != file.weights:
        raise ValueError(f"the session was made with weights {file.weights}, and these are {weights}: give the same")
    if other:
        print(f"note: made with {'; '.join(other)}: the last bits may differ, and what grows of them", file=sys.stderr)
    source, sums = file.source(), []
    inputs = session.inputs() if source is None else session.inputs(source)
    inputs = inputs[: len(file.latents)] if isinstance(inputs, list) else inputs
    with recording(session, folder, {"model": file.model, "seed": file.seed}) as record:
        for chunk in session.stream(session.start(), inputs, seed=file.seed, progress=True):
            record(chunk)
            sums.append(describe_array(chunk.latents).sha256)
    print(*record.files, sep="\n")
    found = file.first_difference(sums)
    if found is not None:
        why = "; ".join(other) or "the same versions on the same kind of device"
        raise ValueError(f"the world is another one from chunk {found} on (made with {why})")
    print(f"{counted(len(sums), 'chunk')}: the same world, bit for bit")
