"""Games that are loaded once, a tiny one and the demo world, and a server of one for each test."""

import asyncio
import contextlib
import threading

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("msgpack")
pytest.importorskip("prometheus_client")

from aiohttp import web

from tests.play.tiny import tiny_game
from worldkv_jax import open_model
from worldkv_jax.play.admission import Limits
from worldkv_jax.play.game import Game
from worldkv_jax.play.guard import Guard
from worldkv_jax.play.server import make_app


@pytest.fixture(scope="session")
def game() -> Game:
    """The tiny backbone."""
    return tiny_game()


@pytest.fixture(scope="session")
def demo() -> Game:
    """The demo world, loaded."""
    return Game.open(open_model("demo-world"), None, longest=400).load()


@contextlib.contextmanager
def running(app: web.Application):
    """Run a server in a thread of its own; offer its address."""
    loop, started = asyncio.new_event_loop(), threading.Event()
    address = []

    async def start():
        runner = web.AppRunner(app, shutdown_timeout=1.0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        address.append(f"http://127.0.0.1:{runner.addresses[0][1]}/")
        started.set()
        return runner

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    runner = asyncio.run_coroutine_threadsafe(start(), loop).result(300)
    started.wait()
    try:
        yield address[0]
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(300)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


@pytest.fixture
def serve(game):
    """Start servers of the tiny game, or another: ``serve(state=folder, sessions=2)`` is a context with the address."""

    def start(*, game=game, state=None, guard=None, **limits):
        guard = guard or Guard("127.0.0.1", token=None)
        return running(make_app(game, guard, Limits(**limits), state=state))

    return start
