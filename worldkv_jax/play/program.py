"""The program around the server: it warms up, prints the address, opens the page, and ends in order."""

import asyncio
import dataclasses
import ipaddress
import signal
import socket
import sys
import webbrowser
from pathlib import Path

from aiohttp import web

from worldkv_jax.play.admission import Limits
from worldkv_jax.play.game import Game
from worldkv_jax.play.guard import Guard
from worldkv_jax.play.server import make_app
from worldkv_jax.play.warm_up import warm_up


@dataclasses.dataclass(frozen=True, kw_only=True)
class Program:
    """A server that is about to start: its port is taken, so that what is wrong with it is said first."""

    listening: socket.socket
    guard: Guard
    limits: Limits
    state: Path | None
    browser: bool

    @classmethod
    def listen(
        cls, host: str, port: int, *, guard: Guard, limits: Limits, state: Path | None, browser: bool
    ) -> "Program":
        """Take the port.

        Raises:
            OSError: it is taken, or the address is not this machine's.
        """
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            listening = socket.create_server((host, port), family=family)
        except (OSError, OverflowError) as error:
            reason = (getattr(error, "strerror", None) or str(error)).lower().rstrip(".")
            raise OSError(f"cannot listen on {host} port {port}: {reason}; --port 0 takes a free port") from None
        return cls(listening=listening, guard=guard, limits=limits, state=state, browser=browser)

    @property
    def address(self) -> str:
        """What a browser opens."""
        host, port = self.listening.getsockname()[:2]
        if ipaddress.ip_address(host).is_unspecified:
            host = socket.gethostname()
        host = f"[{host}]" if ":" in host else host
        return f"http://{host}:{port}/" + (f"?token={self.guard.token}" if self.guard.token else "")

    def run(self, game: Game) -> None:
        """Compile, print the address, and serve until interrupted or terminated."""
        print(f"compiling {game.default.model}, which takes seconds once compiled before ...", file=sys.stderr)
        warm_up(game)
        asyncio.run(self._serve(game))

    async def _serve(self, game: Game) -> None:
        app = make_app(game, self.guard, self.limits, state=self.state)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=3.0)
        await runner.setup()
        ended = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
        try:
            await web.SockSite(runner, self.listening).start()
            print(self.address, flush=True)
            if self.browser:
                webbrowser.open(self.address)
            await ended.wait()
            print("ending; sessions are kept ...", file=sys.stderr)
        finally:
            await runner.cleanup()
