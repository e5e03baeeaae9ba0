"""The command ``worldkv play``: a live page on which one walks through a model's world and sees its memory."""

import argparse
import importlib.util
import sys
import typing
from pathlib import Path

from worldkv_jax.cli.compile_cache import add_cache_flag, use_cache
from worldkv_jax.cli.flags import errors_in_flags, from_flags
from worldkv_jax.cli.models import add_memory_flags, add_models, tell
from worldkv_jax.sessions.memory_options import MemoryOptions

if typing.TYPE_CHECKING:
    from worldkv_jax.play.game import Game

HELP = "walk through a model's world in a browser, and see what it remembers"
_NEEDS = ("aiohttp", "msgpack", "prometheus_client")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one sub-command for each model."""
    # Also before the model's name, where one looks for it.
    parser.add_argument("--tiny", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    add_models(parser, _add_common)


def _add_common(parser: argparse.ArgumentParser) -> None:
    add_memory_flags(parser)
    group = parser.add_argument_group("server")
    add = group.add_argument
    add("--host", default="127.0.0.1", metavar="ADDRESS", help="where to listen (default: 127.0.0.1, this machine)")
    add("--port", type=int, default=8000, metavar="N", help="port; 0 takes a free one (default: 8000)")
    add("--no-browser", action="store_true", help="do not open the page")
    add("--token-file", metavar="FILE", help="what clients have to know (default elsewhere than here: drawn, printed)")
    add("--allow-host", action="append", default=[], metavar="NAME", help="other name that the server is reached by")
    add("--longest", type=int, default=4000, metavar="N", help="chunks that a world may have (default: 4000)")
    group = parser.add_argument_group("sessions")
    add = group.add_argument
    add("--state", metavar="DIR", help="keep sessions there (default: ~/.local/state/worldkv-jax/play/MODEL)")
    add("--no-state", action="store_true", help="keep no sessions")
    add("--sessions", type=int, default=16, metavar="N", help="sessions played at once (default: 16)")
    add("--sessions-per-client", type=int, default=16, metavar="N", help="of one address (default: 16)")
    add("--worlds-gb", type=float, metavar="G", help="memory of all worlds together (default: half of what is free)")
    add("--leave-seconds", type=float, default=60.0, metavar="S", help="until one that was left is put away")
    add("--idle-seconds", type=float, default=900.0, metavar="S", help="until one in which nothing is done is closed")
    add_cache_flag(parser)


def run(args: argparse.Namespace) -> None:
    """Load and compile the model, then print the address and serve until interrupted."""
    check_extra()
    from worldkv_jax.files import make_writable_folder
    from worldkv_jax.play.admission import Limits
    from worldkv_jax.play.guard import LOOPBACK, Guard, make_token
    from worldkv_jax.play.program import Program
    from worldkv_jax.play.store import default_folder

    if args.worlds_gb is not None and not 0 < args.worlds_gb < 1e9:
        raise ValueError(f"--worlds-gb {args.worlds_gb}: give a positive number")
    limits = Limits(
        sessions=args.sessions,
        per_client=args.sessions_per_client,
        worlds_bytes=None if args.worlds_gb is None else int(args.worlds_gb * 1024**3),
        leave_seconds=args.leave_seconds,
        idle_seconds=args.idle_seconds,
    )
    token = None
    if args.token_file is not None:
        # May be a pipe of a shell, as `<(pass show token)` is; with a byte order mark from some editors.
        token = Path(args.token_file).read_text(encoding="utf-8-sig").strip()
    elif args.host not in LOOPBACK:
        token = make_token()
        print("others can reach this server, so it asks for a token: the address has it", file=sys.stderr)
    guard = Guard(args.host, token=token, hosts=args.allow_host)
    state = None if args.no_state else Path(args.state) if args.state else default_folder(args.model)
    browser = not args.no_browser
    use_cache(args)
    program = Program.listen(args.host, args.port, guard=guard, limits=limits, state=state, browser=browser)
    if state is not None:
        make_writable_folder(state)  # said now, and not when all is compiled
    program.run(open_game(args))


def check_extra() -> None:
    """Raise ValueError where the packages of the extra are missing."""
    if missing := [name for name in _NEEDS if importlib.util.find_spec(name) is None]:
        raise ValueError(f'{", ".join(missing)} missing: pip install "worldkv-jax[play]"')


def open_game(args: argparse.Namespace) -> "Game":
    """Open and load the model of a command line, to be played."""
    from worldkv_jax.play.game import Game

    if args.longest < 1:
        raise ValueError(f"--longest {args.longest}: give the chunks that a world may have, 1 or more")
    with errors_in_flags(args.model_parser):
        options = from_flags(args.options_class, args)
        game = Game.open(options, from_flags(MemoryOptions, args), longest=args.longest)
    tell(game.default.notes, args)
    if game.default.random_weights:
        print("RANDOM WEIGHTS: the pictures mean nothing", file=sys.stderr)
    loaded = game.load()
    tell(loaded.default.notes[len(game.default.notes) :], args)
    return loaded
