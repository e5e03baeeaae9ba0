"""What goes to a client: messages in their order, with a limit on how long anybody may take to read them."""

import asyncio
from typing import Any

import msgpack
from aiohttp import WSCloseCode, web

WRITE_SECONDS = 20.0
"""A client that takes longer to read is gone."""
_MOST_WAITING = 64


class Outlet:
    """Sends messages to one client, from one task."""

    def __init__(self, socket: web.WebSocketResponse):
        self._socket = socket
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(_MOST_WAITING)
        self._closing: tuple[int, str] | None = None
        self.gone = asyncio.Event()
        self.sent_bytes = 0
        self.write_ms = 0
        self._task = asyncio.create_task(self._write())

    async def send(self, message: dict[str, Any]) -> None:
        """Queue a message; waits where many are unread, and drops it where the client is gone."""
        if self.gone.is_set() or self._closing is not None:
            return
        data = msgpack.packb(message)
        try:
            await asyncio.wait_for(self._queue.put(data), WRITE_SECONDS)
        except TimeoutError:
            self._give_up()

    async def drained(self) -> None:
        """Wait until everything is written."""
        await self._queue.join()

    async def error(self, content: str, **more: Any) -> None:
        """Say what is wrong."""
        await self.send({"type": "error", "content": content, **more})

    async def close(self, code: int, reason: str, *, patience: float = 2 * WRITE_SECONDS) -> None:
        """Close the connection after what is queued, at most once; of a client that does not read, give up."""
        if self._closing is None:
            self._closing = code, reason
            try:
                self._queue.put_nowait(None)
            except asyncio.QueueFull:
                self._give_up()
        await asyncio.wait([self._task], timeout=patience)
        if not self.gone.is_set():
            self._give_up()

    def stop(self) -> None:
        """Send nothing more."""
        self.gone.set()
        self._task.cancel()

    def _give_up(self) -> None:
        """End a connection that nobody reads."""
        self.stop()
        transport = self._socket._req.transport if self._socket._req is not None else None
        if transport is not None:
            transport.abort()

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while (data := await self._queue.get()) is not None:
                since = loop.time()
                await asyncio.wait_for(self._socket.send_bytes(data), WRITE_SECONDS)
                self.write_ms, self.sent_bytes = round(1000 * (loop.time() - since)), self.sent_bytes + len(data)
                self._queue.task_done()
        except TimeoutError:
            self._give_up()
        except (ConnectionError, RuntimeError):
            pass
        finally:
            self.gone.set()
            while not self._queue.empty():  # let go of whoever waits for room, or for the end
                self._queue.get_nowait()
                self._queue.task_done()
        if self._closing is not None and not self._socket.closed:
            code, reason = self._closing
            await self._socket.close(code=code, message=reason.encode()[:120])


OK, PROTOCOL, LATER, GOING_AWAY = (
    WSCloseCode.OK,
    WSCloseCode.POLICY_VIOLATION,
    WSCloseCode.TRY_AGAIN_LATER,
    WSCloseCode.GOING_AWAY,
)
