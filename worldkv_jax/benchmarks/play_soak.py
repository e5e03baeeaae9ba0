"""A soak: sessions that come, go, fork and die at random, for as long as one likes; nothing may be lost or grow."""

import asyncio
import dataclasses
import os
import random
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urljoin

import aiohttp
import msgpack

from worldkv_jax.benchmarks.play import send
from worldkv_jax.byte_counts import format_bytes
from worldkv_jax.play.routes import WEBSOCKET_PATH
from worldkv_jax.sessions.provenance import describe_machine

_SAMPLE_SECONDS, _SAMPLES_OF_A_LINE = 10.0, 6
_RESIDENT = "process_resident_memory_bytes "
_KEYS = ("w", "a", "s", "d", "j", "l")


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlaySoak:
    """How long, and how many."""

    minutes: float = 30.0
    sessions: int = 8
    seed: int = 0
    """Of what the clients do."""

    def __post_init__(self):
        if not self.minutes > 0 or self.sessions < 1:
            raise ValueError(f"minutes={self.minutes}, sessions={self.sessions}: give more than nothing of each")


@dataclasses.dataclass
class _Counts:
    visits: int = 0
    chunks: int = 0
    changes: int = 0
    deaths: int = 0
    returns: int = 0
    lost: list[str] = dataclasses.field(default_factory=list)


def run_play_soak(address: str, soak: PlaySoak, *, log: Callable[[str], None] = print) -> dict[str, Any]:
    """Let clients come and go on a server; return what they met, and the server's memory over time.

    Args:
        address: of the server.
        soak: how long, and how many.
        log: is given a line every minute.
    """
    return asyncio.run(_soak(address, soak, log))


async def _soak(address: str, soak: PlaySoak, log: Callable[[str], None]) -> dict[str, Any]:
    counts, until = _Counts(), time.monotonic() + 60 * soak.minutes
    async with aiohttp.ClientSession() as http:
        sampling = asyncio.create_task(_sample(http, address, counts, log))
        visitors = (_visitor(address, random.Random(f"{soak.seed} {n}"), until, counts) for n in range(soak.sessions))
        await asyncio.gather(*visitors)
        sampling.cancel()
        samples = await sampling
    return {
        **describe_machine(),
        "load_average": os.getloadavg()[0],
        "soak": dataclasses.asdict(soak),
        "counts": dataclasses.asdict(counts),
        "resident_bytes": samples,
    }


async def _visitor(address: str, draw: random.Random, until: float, counts: _Counts) -> None:
    """Come again and again, to the same session or to a new one."""
    name, position = None, 0
    while time.monotonic() < until:
        if draw.random() < 0.3:
            name, position = None, 0
        counts.visits += 1
        counts.returns += name is not None
        try:
            name, position = await _visit(address, draw, until, counts, name, position)
        except (OSError, ValueError, TimeoutError, aiohttp.ClientError) as error:
            counts.lost.append(f"{type(error).__name__}: {error}"[:200])
            name, position = None, 0
        await asyncio.sleep(draw.uniform(0, 3))


async def _visit(
    address: str, draw: random.Random, until: float, counts: _Counts, name: str | None, position: int
) -> tuple[str | None, int]:
    """Play for some seconds, and leave in order or not, perhaps before a session was opened.

    Returns:
        The session, and how far it has come.
    """
    connector = aiohttp.TCPConnector()
    opening = aiohttp.ClientSession(connector=connector)
    async with opening as http, http.ws_connect(urljoin(address, WEBSOCKET_PATH), max_msg_size=0) as socket:
        memories = ["default", "window"] if draw.random() < 0.2 else ["default"]
        own = {"memories": memories, "session": name}
        await send(socket, {"type": "init", "seed": draw.randrange(2**32), "worldkv": own})
        leave, number = min(until, time.monotonic() + draw.uniform(1, 25)), 0
        acting, changing, opened = time.monotonic(), set(), False
        while time.monotonic() < leave:
            try:
                received = await asyncio.wait_for(socket.receive(), 0.3)
            except TimeoutError:
                received = None
            if received is not None and received.type != aiohttp.WSMsgType.BINARY:
                raise ValueError(f"the server closed the connection: {received.data} {received.extra or ''}")
            message: dict[str, Any] = {"type": None} if received is None else msgpack.unpackb(received.data)
            match message["type"]:
                case "session":
                    # Later ones are of worlds that begin anew.
                    if not opened and name is not None and message["position"] < position:
                        raise ValueError(f"came back to chunk {message['position']}, and had left at {position}")
                    name, opened = message["session_id"], True
                case "timeline":
                    position = message["position"]
                case "chunk_stats":
                    counts.chunks += 1
                    position = message["chunk_index"] + 1
                case "receipt" if message["status"] != "received":
                    if message["event_id"] in changing and message["status"] == "applied":
                        position = message["chunk_index"]
                    changing.discard(message["event_id"])
                case "error":
                    raise ValueError(message["content"])
                case _:
                    pass
            if opened and time.monotonic() > acting:
                acting, number = time.monotonic() + draw.uniform(0.1, 1.5), number + 1
                event = _something(draw, number, position)
                if event["kind"] != "camera_actions":
                    counts.changes += 1
                    changing.add(number)
                await send(socket, event)
        if draw.random() < 0.3:
            counts.deaths += 1
            await connector.close()  # without a word
        return name, 0 if changing else position  # of a change that was not answered one cannot know


def _something(draw: random.Random, number: int, position: int) -> dict[str, Any]:
    """Draw what to do next: mostly keys, sometimes a branch or a step back in time."""
    event = {"type": "event", "event_id": number}
    chosen = draw.random()
    if chosen > 0.1:
        state = {"mode": "state", "transitions": [{"actions": [draw.choice(_KEYS)], "client_ts_ms": 0}]}
        return event | {"kind": "camera_actions", "payload": state}
    if chosen > 0.05:
        return event | {"kind": "fork", "payload": {}}
    if chosen > 0.02:
        return event | {"kind": "rewind", "payload": {"chunk": max(13, position - draw.randrange(20))}}
    return event | {"kind": "reset", "payload": {"seed": draw.randrange(1000)}}


async def _sample(http: aiohttp.ClientSession, address: str, counts: _Counts, log: Callable[[str], None]) -> list[int]:
    """Read the server's resident memory now and then, until cancelled, and tell how far the soak is."""
    samples: list[int] = []
    try:
        while True:
            async with http.get(address + "metrics") as answer:
                lines = (await answer.text()).splitlines()
            samples += [int(float(line.removeprefix(_RESIDENT))) for line in lines if line.startswith(_RESIDENT)]
            if len(samples) % _SAMPLES_OF_A_LINE == 1:
                far = f"{counts.visits} visits, {counts.chunks:,} chunks, {len(counts.lost)} failed"
                log(f"minute {len(samples) * _SAMPLE_SECONDS / 60:.0f}: {far}, {format_bytes(samples[-1])} resident")
            await asyncio.sleep(_SAMPLE_SECONDS)
    except asyncio.CancelledError:
        return samples
