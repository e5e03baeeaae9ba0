"""One WebSocket connection: its messages become a session's events, until it is gone."""

import asyncio
import logging

from aiohttp import WSMsgType, web

from worldkv_jax.play import messages
from worldkv_jax.play.lobby import Lobby
from worldkv_jax.play.outlet import OK, PROTOCOL, Outlet
from worldkv_jax.play.protocol import Event, Init, Refused, read
from worldkv_jax.play.seat import Seat

INIT_SECONDS = 60.0
"""A client that says nothing for so long is gone."""
MOST_MISTAKES = 20
"""Malformed messages of one client before it is gone."""
_log = logging.getLogger(__name__)


class Connection:
    """Speaks with one client."""

    def __init__(self, lobby: Lobby, socket: web.WebSocketResponse):
        self._lobby, self._socket = lobby, socket
        self._outlet = Outlet(socket)
        self._mistakes = 0

    async def run(self) -> None:
        """Serve the client until it is gone; whatever goes wrong ends this connection alone."""
        try:
            while (init := await self._first()) is not None:
                if await self._play(init):
                    break
        except Exception:
            _log.exception("a connection ended by a defect")
            await self._outlet.error("the server made a mistake with this session; connect again to come back to it")
            await self._outlet.close(OK, "internal error")
        finally:
            self._outlet.gone.set()

    async def _first(self) -> Init | None:
        """Wait for how the client wants to begin; a bad message may be sent again."""
        while not self._outlet.gone.is_set():
            try:
                data = await asyncio.wait_for(self._receive(), INIT_SECONDS)
            except TimeoutError:
                await self._outlet.close(PROTOCOL, "no init message came")
                return None
            if data is None:
                return None
            try:
                message = read(data)
                if isinstance(message, Init):
                    return message
                raise Refused("no session yet: send a message of type 'init' first")
            except Refused as error:
                if not await self._mistake(str(error)):
                    return None
        return None

    async def _play(self, init: Init) -> bool:
        """Play; return whether the connection is over, and not only this try to begin."""
        try:
            seat = await self._sit(init)
        except Refused as error:
            return not await self._mistake(str(error))
        listening = asyncio.create_task(self._listen(seat, init.extension is not None))
        try:
            if init.extension is not None:
                watching = init.extension.watch and not len(seat.player.tree.history)
                await self._outlet.send(
                    messages.session_message(seat, resumed=False, watching=watching, max_chunks=init.max_chunks)
                )
            await seat.play(init, self._outlet)
        finally:
            listening.cancel()
        return True

    async def _sit(self, init: Init) -> Seat:
        memories = ("default",) if init.extension is None else init.extension.memories
        try:
            messages.check_memories(self._lobby.game, memories)
        except ValueError as error:
            raise Refused(str(error)) from None
        return await self._lobby.new(init.seed, memories)

    async def _listen(self, seat: Seat, extended: bool) -> None:
        """Hand on events until the client is gone."""
        while (data := await self._receive()) is not None:
            try:
                message = read(data)
                if isinstance(message, Init):
                    raise Refused("this session has begun already; open another connection for another one")
                for event in message:
                    await self._take(seat, event, extended)
            except Refused as error:
                if not await self._mistake(str(error)):
                    return
        self._outlet.gone.set()

    async def _take(self, seat: Seat, event: Event, extended: bool) -> None:
        try:
            seat.take(event)
        except Refused as error:
            if not extended:
                raise
            refused = {"type": "receipt", "event_id": event.number, "status": "refused", "content": str(error)}
            await self._outlet.send(refused)
            return
        if extended:
            await self._outlet.send({"type": "receipt", "event_id": event.number, "status": "received"})

    async def _mistake(self, content: str) -> bool:
        """Say what is wrong; return whether the client may go on."""
        self._mistakes += 1
        await self._outlet.error(content)
        if self._mistakes < MOST_MISTAKES:
            return True
        await self._outlet.close(PROTOCOL, "too many malformed messages")
        return False

    async def _receive(self) -> bytes | None:
        message = await self._socket.receive()
        if message.type == WSMsgType.BINARY:
            return message.data
        if message.type == WSMsgType.TEXT:
            return b""
        self._outlet.gone.set()
        return None
