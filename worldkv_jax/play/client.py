"""A client of `worldkv play`: programs and agents walk through a world as people do, over the same messages.

with connect("http://127.0.0.1:8000/", seed=7, memories=["default", "window"]) as world:
    chunks = world.act(["l"], frames=45)
    print(chunks[-1].frames[0].shape, chunks[-1].stats["lanes"])
"""

import asyncio
import collections
import contextlib
import dataclasses
import io
import threading
import urllib.parse
from collections.abc import Coroutine, Generator, Sequence
from typing import Any

import aiohttp
import msgpack
import numpy as np
from PIL import Image

from worldkv_jax.play.routes import WEBSOCKET_PATH

_CLOSED = (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED)
_ENDED = "the connection ended"


@dataclasses.dataclass(frozen=True)
class Chunk:
    """A chunk that the server made."""

    index: int
    frames: tuple[np.ndarray, ...]
    """uint8 ``[n, height, width, 3]`` of each lane."""
    stats: dict[str, Any]
    """Of the message ``chunk_stats``."""


class PlayError(RuntimeError):
    """The server refused something, or closed the connection; the text is what it said."""


class World:
    """One session, from a thread of one's own: calls wait for what they ask for.

    Attributes:
        session: what the server said when it opened the session; ``session["session_id"]`` is what to come back by.
        timeline: its latest time line.
    """

    def __init__(self, socket: "_Socket", run):
        self._socket, self._run = socket, run
        self.session: dict[str, Any] = socket.session
        self.timeline: dict[str, Any] = {}

    def act(self, keys: Sequence[str], *, frames: int) -> list[Chunk]:
        """Hold keys for so many frames, and return the chunks that show them.

        Raises:
            PlayError: keys that the model does not know, or a world that cannot go on.
        """
        return self._run(self._socket.act([list(keys)] * frames))

    def follow(self, script: Sequence[Sequence[str]]) -> list[Chunk]:
        """Hold other keys in every frame, see `act`."""
        return self._run(self._socket.act([list(keys) for keys in script]))

    def fork(self, at: int | None = None) -> int:
        """Begin a branch now, or at an earlier chunk; return its number."""
        return self._change("fork", {} if at is None else {"at": at})["current"]

    def switch(self, branch: int) -> None:
        """Go on with another branch."""
        self._change("switch", {"branch": branch})

    def rewind(self, chunk: int) -> None:
        """Forget what came after a chunk."""
        self._change("rewind", {"chunk": chunk})

    def reset(self, seed: int | None = None) -> None:
        """Begin anew."""
        self._change("reset", {} if seed is None else {"seed": seed})

    def remember_with(self, *memories: str) -> None:
        """Make the same world again with other memories."""
        self._change("memory", {"memories": list(memories)})

    def save(self, name: str) -> None:
        """Give the present a name."""
        self._run(self._socket.change("save", {"name": name}, until="saved"))

    def restore(self, name: str) -> None:
        """Begin a branch at a moment that has a name."""
        self._change("restore", {"name": name})

    def session_file(self) -> dict[str, Any]:
        """Return what made the current branch, to be shared and replayed."""
        return self._run(self._socket.change("session_file", {}, until="session_file"))["data"]

    def send(self, kind: str, payload: Any = None) -> int:
        """Send any event, and return its number without waiting."""
        return self._run(self._socket.event(kind, payload))

    def wait(self, kind: str, seconds: float = 300.0) -> dict[str, Any]:
        """Wait for the next message of a type."""
        return self._run(asyncio.wait_for(self._socket.next(kind), seconds))

    def _change(self, kind: str, payload: dict) -> dict[str, Any]:
        self.timeline = self._run(self._socket.change(kind, payload, until="timeline"))
        return self.timeline


@contextlib.contextmanager
def connect(
    url: str,
    *,
    token: str | None = None,
    seed: int = 42,
    memories: Sequence[str] = ("default",),
    session: str | None = None,
    replay: dict | None = None,
    form: str = "webp",
    fast: bool = False,
) -> Generator[World]:
    """Open a session, or come back to one.

    Args:
        url: the address that the server printed, with or without its token.
        token: what the server asks for, where the address does not say it.
        seed: of a new world.
        memories: of its lanes, one or two.
        session: to come back to.
        replay: of `World.session_file`, to be played again.
        form: of frames: ``webp``, ``jpeg`` or ``raw``.
        fast: make chunks as fast as the server can, and not only as fast as they are shown.

    Raises:
        PlayError: the server refuses; the text says why.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="worldkv-play-client", daemon=True)
    thread.start()

    def run(work: Coroutine) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result()

    own = {"memories": list(memories), "session": session, "replay": replay}
    init = {"seed": seed, "realtime_output_format": form, "realtime_output_pacing": not fast, "worldkv": own}
    try:
        socket = run(_Socket.open(url, token, init))
        try:
            yield World(socket, run)
        finally:
            run(socket.close())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class _Socket:
    """The connection, on the loop's thread."""

    def __init__(self, http: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse):
        self._http, self._socket = http, socket
        self._numbers = 0
        self._waiting: collections.defaultdict[str, collections.deque] = collections.defaultdict(collections.deque)
        self._came = asyncio.Event()
        self._batches: dict[int, list[np.ndarray]] = collections.defaultdict(list)
        self._ended: asyncio.Future = asyncio.get_running_loop().create_future()
        self._reader = asyncio.create_task(self._read())
        self.session: dict[str, Any] = {}

    @classmethod
    async def open(cls, url: str, token: str | None, init: dict[str, Any]) -> "_Socket":
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise PlayError(f"{url!r} is no address; give what the server printed, such as http://127.0.0.1:8000/")
        token = token or urllib.parse.parse_qs(parts.query).get("token", [None])[0]
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        http = aiohttp.ClientSession(headers=headers)
        try:
            address = urllib.parse.urlunsplit((parts.scheme, parts.netloc, WEBSOCKET_PATH, "", ""))
            socket = cls(http, await http.ws_connect(address, max_msg_size=0))
            await socket.send({"type": "init", **init})
            socket.session = await socket.next("session")
            return socket
        except aiohttp.WSServerHandshakeError as error:
            await http.close()
            raise PlayError(f"the server answers {error.status}: is the token right?") from None
        except BaseException:
            await http.close()
            raise

    async def send(self, message: dict[str, Any]) -> None:
        try:
            data: Any = msgpack.packb(message)
            await self._socket.send_bytes(data)
        except ConnectionError:
            raise PlayError(await self._ended) from None

    async def event(self, kind: str, payload: Any) -> int:
        self._numbers += 1
        await self.send({"type": "event", "kind": kind, "payload": payload, "event_id": self._numbers})
        return self._numbers

    async def next(self, kind: str) -> Any:
        """Wait for a message; raise what the server refuses meanwhile.

        What has come stays until somebody takes it, whoever gives up waiting and whatever comes with it.
        """
        while True:
            if self._waiting[kind]:
                return self._waiting[kind].popleft()
            if self._waiting["refused"]:
                raise PlayError(self._waiting["refused"].popleft())
            if self._ended.done():
                raise PlayError(self._ended.result())
            self._came.clear()
            await self._came.wait()

    async def change(self, kind: str, payload: dict, *, until: str) -> dict[str, Any]:
        self._waiting[until].clear()
        number = await self.event(kind, payload)
        # The time line of a session that begins or comes back may be on its way still.
        while (answer := await self.next(until)).get("event_id", number) < number:
            pass
        return answer

    async def act(self, script: list[list[str]]) -> list[Chunk]:
        self._waiting["chunk"].clear()
        number, left, chunks = await self.event("camera_actions", script), len(script), []
        while left > 0:
            chunk = await self.next("chunk")
            if chunks or number in chunk.stats["applied_event_ids"]:
                chunks.append(chunk)
                left -= len(chunk.frames[0])
        return chunks

    async def close(self) -> None:
        await self._socket.close()
        await self._reader
        await self._http.close()

    async def _read(self) -> None:
        said = _ENDED
        try:
            while (message := await self._socket.receive()).type not in _CLOSED:
                data = msgpack.unpackb(message.data)
                match data["type"]:
                    case "frame_batch":
                        self._batches[data.get("lane", 0)] += _frames(data)
                    case "chunk_stats":
                        lanes, self._batches = self._batches, collections.defaultdict(list)
                        frames = tuple(np.stack(lanes[lane]) for lane in sorted(lanes))
                        self._waiting["chunk"].append(Chunk(data["chunk_index"], frames, data))
                    case "receipt" if data["status"] == "refused":
                        self._waiting["refused"].append(data["content"])
                    case "error":
                        said = data["content"]
                        self._waiting["refused"].append(said)
                    case kind:
                        self._waiting[kind].append(data)
                self._came.set()
            if message.type == aiohttp.WSMsgType.CLOSE and message.extra and said == _ENDED:
                said = f"{said}: {message.extra}"  # a busy server may have no time for more words
        except Exception as error:  # of what is no message of this server: nobody is to wait for ever
            said = f"the server sent what cannot be read ({error!r})"
        self._ended.set_result(f"{said} ({self._socket.close_code})")
        self._came.set()


def _frames(batch: dict[str, Any]) -> list[np.ndarray]:
    frames, at = [], 0
    for size in batch["payload_lengths"]:
        data = batch["payload"][at : at + size]
        at += size
        if batch["format"] == "rgb24":
            frames.append(np.frombuffer(data, np.uint8).reshape(batch["height"], batch["width"], 3))
        else:
            frames.append(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
    return frames
