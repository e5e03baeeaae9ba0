"""The server of `worldkv play`: the page, the WebSocket, health, metrics and what is played."""

from importlib.resources import files
from pathlib import Path

from aiohttp import web

from worldkv_jax.play import messages
from worldkv_jax.play.connection import Connection
from worldkv_jax.play.game import Game
from worldkv_jax.play.lobby import Lobby
from worldkv_jax.play.protocol import MOST_MESSAGE_BYTES

WEBSOCKET = "/v1/realtime_video/generate"
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_LOBBY = web.AppKey("lobby", Lobby)


def make_app(game: Game) -> web.Application:
    """Make the web application of a loaded model."""
    app = web.Application(client_max_size=MOST_MESSAGE_BYTES)
    app[_LOBBY] = Lobby(game)
    app.router.add_get("/", _page)
    app.router.add_get(WEBSOCKET, _socket)
    app.router.add_get("/health", _health)
    app.router.add_get("/v1/info", _info)
    app.router.add_static("/static", _static())
    app.on_response_prepare.append(_add_headers)
    app.on_cleanup.append(_close)
    return app


def _static() -> Path:
    return Path(str(files("worldkv_jax.play") / "static"))


async def _page(request: web.Request) -> web.StreamResponse:
    return web.FileResponse(_static() / "index.html")


async def _health(request: web.Request) -> web.Response:
    lobby = request.app[_LOBBY]
    return web.json_response({"status": "ok", "sessions": len(lobby.seats)})


async def _info(request: web.Request) -> web.Response:
    return web.json_response(messages.describe(request.app[_LOBBY].game))


async def _socket(request: web.Request) -> web.StreamResponse:
    socket = web.WebSocketResponse(max_msg_size=MOST_MESSAGE_BYTES, heartbeat=30.0, compress=False)
    await socket.prepare(request)
    await Connection(request.app[_LOBBY], socket).run()
    return socket


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_HEADERS)


async def _close(app: web.Application) -> None:
    app[_LOBBY].close()
