"""The server of `worldkv play`: the page, the WebSocket, recordings, health, metrics, and what is played."""

import contextlib
import dataclasses
from importlib.resources import files
from pathlib import Path

from aiohttp import web

from worldkv_jax.play import messages
from worldkv_jax.play.admission import Limits
from worldkv_jax.play.connection import Connection
from worldkv_jax.play.game import Game
from worldkv_jax.play.guard import Guard
from worldkv_jax.play.lobby import Lobby
from worldkv_jax.play.outlet import PROTOCOL
from worldkv_jax.play.protocol import MOST_MESSAGE_BYTES
from worldkv_jax.play.routes import WEBSOCKET_PATH

_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_LOBBY = web.AppKey("lobby", Lobby)
_GUARD = web.AppKey("guard", Guard)


def make_app(game: Game, guard: Guard, limits: Limits, *, state: Path | None) -> web.Application:
    """Make the web application of a loaded model.

    Args:
        game: the model.
        guard: who may speak to it.
        limits: what is admitted.
        state: folder that sessions are kept in; ``None`` to forget them.
    """
    app = web.Application(client_max_size=MOST_MESSAGE_BYTES, middlewares=[guard.check])
    app[_LOBBY], app[_GUARD] = Lobby(game, limits, state=state), guard
    app.router.add_get("/", _page)
    app.router.add_get(WEBSOCKET_PATH, _socket)
    app.router.add_get("/health", _health)
    app.router.add_get("/metrics", _metrics)
    app.router.add_get("/v1/info", _info)
    app.router.add_get("/v1/sessions/{name}/recording.mp4", _recording)
    app.router.add_static("/static", _static())
    app.on_response_prepare.append(_add_headers)
    app.on_startup.append(_open)
    app.on_shutdown.append(_close)
    return app


def _static() -> Path:
    return Path(str(files("worldkv_jax.play") / "static"))


async def _page(request: web.Request) -> web.StreamResponse:
    return web.FileResponse(_static() / "index.html")


async def _health(request: web.Request) -> web.Response:
    lobby = request.app[_LOBBY]
    return web.json_response({"status": "closing" if lobby.closing else "ok", "sessions": len(lobby.seats)})


async def _metrics(request: web.Request) -> web.Response:
    return web.Response(body=request.app[_LOBBY].metrics.text(), headers={"Content-Type": "text/plain; version=0.0.4"})


async def _info(request: web.Request) -> web.Response:
    lobby = request.app[_LOBBY]
    limits = dataclasses.asdict(lobby.limits) | {"message_bytes": MOST_MESSAGE_BYTES}
    del limits["worlds_bytes"]
    return web.json_response(messages.describe(lobby.game) | {"limits": limits})


async def _recording(request: web.Request) -> web.StreamResponse:
    # The name is looked up among those that are there, and names no file itself.
    seat = request.app[_LOBBY].seats.get(request.match_info["name"])
    if seat is None or seat.recording is None:
        raise web.HTTPNotFound(text="there is no recording; record again\n")
    headers = {"Content-Disposition": 'attachment; filename="worldkv-play.mp4"'}
    return web.FileResponse(seat.recording, headers=headers)


async def _socket(request: web.Request) -> web.StreamResponse:
    lobby, guard, address = request.app[_LOBBY], request.app[_GUARD], request.remote or ""
    socket = web.WebSocketResponse(max_msg_size=MOST_MESSAGE_BYTES, heartbeat=30.0, compress=False)
    try:
        await socket.prepare(request)
    except ConnectionError:  # left before it was answered, as while the server starts: no error of the server
        return web.Response()
    if lobby.closing or not guard.connect(address, lobby.limits.per_client):
        lobby.metrics.refused.labels("client").inc()
        with contextlib.suppress(ConnectionError):
            await socket.close(code=PROTOCOL, message=b"too many connections of one client; close one")
        return socket
    try:
        await Connection(lobby, socket, lambda: request.transport and request.transport.abort()).run()
    finally:
        guard.disconnect(address)
    return socket


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)


async def _open(app: web.Application) -> None:
    app[_LOBBY].open()


async def _close(app: web.Application) -> None:
    await app[_LOBBY].close()
