"""The program around the server: it warms up, prints the address, opens the page, and ends in order."""

import asyncio
import socket
import sys
import webbrowser

from aiohttp import web

from worldkv_jax.play.game import Game
from worldkv_jax.play.history import Tree
from worldkv_jax.play.player import Player
from worldkv_jax.play.server import make_app
from worldkv_jax.sessions.steering import Controls

WARM = ("default", "window")
"""Memories whose programs are compiled before the address is printed."""


def warm_up(game: Game, memories: tuple[str, ...] = WARM) -> None:
    """Compile what sessions will run: first chunks, later ones, and those after a fork."""
    player = Player(game, Tree(0, [name for name in memories if name in game.sessions]))
    for _ in range(3):
        player.step(Controls(((),) * player.frames_of_next()))
    player.tree.fork()
    for _ in player.make_current():
        pass
    player.close()


def serve(game: Game, *, host: str, port: int, browser: bool) -> None:
    """Serve until interrupted.

    Raises:
        OSError: the port is taken, or the address is not this machine's.
    """
    listening = socket.create_server((host, port), reuse_port=False)
    print(f"compiling {game.default.model} ...", file=sys.stderr)
    warm_up(game)
    asyncio.run(_serve(game, listening, browser))


async def _serve(game: Game, listening: socket.socket, browser: bool) -> None:
    runner = web.AppRunner(make_app(game), access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    try:
        await web.SockSite(runner, listening).start()
        host, port = listening.getsockname()[:2]
        address = f"http://{host}:{port}/"
        print(address, flush=True)
        if browser:
            webbrowser.open(address)
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()
