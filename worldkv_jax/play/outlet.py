"""What goes to a client: messages in their order, with a limit on how long anybody may take to read them."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import msgpack
from aiohttp import WSCloseCode, web

WRITE_SECONDS = 20.0
"""A client that takes longer to read is gone."""
_MOST_WAITING = 64
OK, PROTOCOL, LATER, GOING_AWAY = (
    WSCloseCode.OK,
    WSCloseCode.POLICY_VIOLATION,
    WSCloseCode.TRY_AGAIN_LATER,
    WSCloseCode.GOING_AWAY,
)


class Outlet:
    """Sends messages to one client, from one task.

    Attributes:
        gone: is set when the client gets nothing any more.
        sent_bytes: written so far.
        write_ms: that the latest message took.
    """

    def __init__(self, socket: web.WebSocketResponse, abort: Callable[[], None]):
        """Begin to send.

        Args:
            socket: of the client.
            abort: ends a connection that cannot be closed politely.
        """
        self._socket, self._abort = socket, abort
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(_MOST_WAITING)
        self._closing: tuple[int, str] | None = None
        self.gone = asyncio.Event()
        self.sent_bytes = 0
        self.write_ms = 0
        self._task = asyncio.create_task(self._write())

    async def send(self, message: dict[str, Any]) -> None:
        """Queue a message; waits where many are unread, and drops it where the client is gone."""
        if self._closing is not None or self.gone.is_set():
            return
        data: Any = msgpack.packb(message)
        try:
            self._queue.put_nowait(data)
        except asyncio.QueueFull:
            await self._unless_gone(self._queue.put(data))

    async def drained(self) -> None:
        """Wait until everything is written, or the client is gone."""
        await self._unless_gone(self._queue.join())

    async def error(self, content: str, **more: Any) -> None:
        """Say what is wrong."""
        await self.send({"type": "error", "content": content, **more})

    async def close(self, code: int, reason: str, *, patience: float = 2 * WRITE_SECONDS) -> None:
        """Close the connection after what is queued, at most once; of a client that does not read, give up."""
        if self._closing is not None:
            return
        self._closing = code, reason
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.drained(), patience)
        if not self.gone.is_set():
            self.stop()
            with contextlib.suppress(TimeoutError, ConnectionError, RuntimeError):
                await asyncio.wait_for(self._socket.close(code=code, message=reason.encode()[:120]), patience)

    def stop(self) -> None:
        """Send nothing more."""
        self.gone.set()
        self._task.cancel()

    async def _unless_gone(self, work: Any) -> None:
        waits = [asyncio.ensure_future(work), asyncio.ensure_future(self.gone.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                data, since = await self._queue.get(), loop.time()
                await asyncio.wait_for(self._socket.send_bytes(data), WRITE_SECONDS)
                self.write_ms, self.sent_bytes = round(1000 * (loop.time() - since)), self.sent_bytes + len(data)
                self._queue.task_done()
        except TimeoutError:  # nobody reads: closing politely would wait as well
            self._abort()
        except (ConnectionError, RuntimeError):
            pass  # the client left
        finally:
            self.gone.set()
