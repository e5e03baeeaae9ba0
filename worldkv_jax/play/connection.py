"""One WebSocket connection: its messages become a session's events, until it is gone."""

import asyncio
import logging
from collections.abc import Callable

from aiohttp import WSMsgType, web

from worldkv_jax.play import messages, session_file
from worldkv_jax.play.admission import Full
from worldkv_jax.play.guard import MESSAGES_A_SECOND, Rate
from worldkv_jax.play.lobby import Lobby
from worldkv_jax.play.outlet import LATER, OK, PROTOCOL, Outlet
from worldkv_jax.play.protocol import Event, Extension, Init, Refused, read
from worldkv_jax.play.seat import Seat

INIT_SECONDS = 60.0
"""A client that says nothing for so long is gone."""
MOST_MISTAKES = 20
"""Malformed messages of one client before it is gone."""
_log = logging.getLogger(__name__)


class Connection:
    """Speaks with one client."""

    def __init__(self, lobby: Lobby, socket: web.WebSocketResponse, abort: Callable[[], None]):
        self._lobby, self._socket = lobby, socket
        self._outlet = Outlet(socket, abort)
        self._rate = Rate()
        self._mistakes = 0

    async def run(self) -> None:
        """Serve the client until it is gone; whatever goes wrong ends this connection alone."""
        try:
            while (init := await self._first()) is not None:
                if await self._play(init):
                    break
        except Full as full:
            await self._outlet.error(str(full))
            await self._outlet.close(LATER, str(full))
        except Exception:
            _log.exception("a connection ended by a defect")
            self._lobby.metrics.errors.labels("defect").inc()
            await self._outlet.error("the server made a mistake with this session; connect again to come back to it")
            await self._outlet.close(OK, "internal error")
        finally:
            self._outlet.stop()

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
            return await self._play_or_refuse(init)
        except Refused as error:
            return not await self._mistake(str(error))

    async def _play_or_refuse(self, init: Init) -> bool:
        asked = init.extension or Extension()
        # From now on messages are read, so that a client that leaves while it waits is noticed.
        early: asyncio.Queue[Event] = asyncio.Queue(64)
        listening = asyncio.create_task(self._listen(early))
        try:
            played = self._check(init, asked)
            async with self._lobby.seat(
                seed=init.seed if played is None else played.seed,
                memories=asked.memories if played is None else played.memories,
                picture=init.first_frame if asked.session is None else None,
                name=asked.session,
                kept=init.extension is not None,
                tell=self._tell_place if init.extension is not None else _tell_nobody,
                gone=self._outlet.gone,
            ) as (seat, resumed):
                if played is not None and seat.fresh:
                    seat.replay(played)
                elif asked.watch and seat.fresh:
                    seat.inbox.watch()
                handing = asyncio.create_task(self._hand_on(early, seat, init.extension is not None))
                try:
                    await seat.play(init, self._outlet, resumed=resumed)
                finally:
                    handing.cancel()
            return True
        finally:
            # Until it has let go, nobody else can read from the socket.
            listening.cancel()
            await asyncio.wait([listening])

    def _check(self, init: Init, asked: Extension) -> session_file.PlayedSession | None:
        """Check what is asked for; return what is to be replayed."""
        try:
            messages.check_memories(self._lobby.game, asked.memories)
            if asked.replay is None:
                return None
            return session_file.read(self._lobby.game, asked.replay, picture=init.first_frame)
        except ValueError as error:
            raise Refused(str(error)) from None

    async def _tell_place(self, place: int, waiting: int) -> None:
        await self._outlet.send({"type": "queue", "place": place, "waiting": waiting})

    async def _listen(self, early: asyncio.Queue) -> None:
        """Read events until the client is gone."""
        while (data := await self._receive()) is not None:
            try:
                if not self._rate.allows():
                    await self._outlet.error(f"more than {MESSAGES_A_SECOND} messages a second; send fewer")
                    await self._outlet.close(PROTOCOL, "too many messages")
                    return
                message = read(data)
                if isinstance(message, Init):
                    raise Refused("this session has begun already; open another connection for another one")
                for event in message:
                    await early.put(event)
            except Refused as error:
                if not await self._mistake(str(error)):
                    return

    async def _hand_on(self, early: asyncio.Queue, seat: Seat, extended: bool) -> None:
        """Hand on events to the session."""
        while True:
            event = await early.get()
            try:
                seat.inbox.take(event)
                answer = {"type": "receipt", "event_id": event.number, "status": "received"}
            except Refused as error:
                answer = {"type": "receipt", "event_id": event.number, "status": "refused", "content": str(error)}
                if not extended:
                    await self._outlet.error(str(error), event_id=event.number)
            if extended:
                await self._outlet.send(answer)

    async def _mistake(self, content: str) -> bool:
        """Say what is wrong; return whether the client may go on."""
        self._mistakes += 1
        self._lobby.metrics.errors.labels("message").inc()
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


async def _tell_nobody(place: int, waiting: int) -> None:
    """Say nothing to a client that knows no queue."""
