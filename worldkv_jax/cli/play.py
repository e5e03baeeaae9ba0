"""The command ``worldkv play``: a live page on which one walks through a model's world and sees its memory."""

import argparse
import importlib.util

from worldkv_jax.cli.compile_cache import add_cache_flag, use_cache
from worldkv_jax.cli.flags import from_flags
from worldkv_jax.cli.models import add_memory_flags, add_models, tell
from worldkv_jax.sessions.memory_options import MemoryOptions

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
    group.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="where to listen (default: 127.0.0.1)")
    group.add_argument("--port", type=int, default=8000, metavar="N", help="port; 0 takes a free one (default: 8000)")
    group.add_argument("--no-browser", action="store_true", help="do not open the page")
    group.add_argument(
        "--longest", type=int, default=4000, metavar="N", help="chunks that a world may have (default: 4000)"
    )
    add_cache_flag(parser)


def run(args: argparse.Namespace) -> None:
    """Load and compile the model, then print the address and serve until interrupted."""
    if missing := [name for name in _NEEDS if importlib.util.find_spec(name) is None]:
        raise ValueError(f'{", ".join(missing)} missing: pip install "worldkv-jax[play]"')
    from worldkv_jax.cli.models import errors_in_flags
    from worldkv_jax.play.game import Game
    from worldkv_jax.play.program import serve

    use_cache(args)
    with errors_in_flags(args.model_parser):
        asked = from_flags(MemoryOptions, args)
        game = Game.open(from_flags(args.options_class, args), asked if asked.given() else None, longest=args.longest)
    tell(game.default.notes, args)
    game = game.load()
    serve(game, host=args.host, port=args.port, browser=not args.no_browser)
