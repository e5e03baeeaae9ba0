"""What it costs to play: frames a second, from a key to its picture, and how fair turns are, as clients see them."""

import asyncio
import dataclasses
import os
import time
from typing import Any
from urllib.parse import urljoin

import aiohttp
import msgpack
import numpy as np

from worldkv_jax.play.routes import WEBSOCKET_PATH
from worldkv_jax.sessions.provenance import describe_machine

_PRESS_SECONDS = 0.4
_START_SECONDS = 900


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlayBenchmark:
    """What to measure."""

    seconds: float = 20.0
    """Of play for each number of sessions."""
    sessions: tuple[int, ...] = (1, 8)
    """That play at once."""
    memories: tuple[str, ...] = ("default",)
    """Of each session's lanes."""

    def __post_init__(self):
        if not self.seconds > 0 or not self.sessions or min(self.sessions) < 1:
            raise ValueError(f"seconds={self.seconds}, sessions={self.sessions}: give more than nothing of each")


def run_play_benchmark(address: str, benchmark: PlayBenchmark) -> dict[str, Any]:
    """Play on a server, and measure what its clients see.

    Args:
        address: of the server.
        benchmark: what to measure.
    """
    rows = [asyncio.run(_measure(address, benchmark, count)) for count in benchmark.sessions]
    return {
        **describe_machine(),
        "load_average": os.getloadavg()[0],
        "benchmark": dataclasses.asdict(benchmark),
        "rows": rows,
    }


async def _measure(address: str, benchmark: PlayBenchmark, count: int) -> dict[str, Any]:
    ready = asyncio.Barrier(count)
    plays = [_play(address, benchmark, seed, ready) for seed in range(count)]
    played = await asyncio.gather(*plays)
    fps = [one["frames"] / one["seconds"] for one in played]
    delays = np.concatenate([one["delays"] for one in played])
    return {
        "sessions": count,
        "fps": {"slowest": min(fps), "fastest": max(fps), "together": sum(fps)},
        "fairness": max(fps) / min(fps),
        "key_to_picture_s": {"p50": float(np.percentile(delays, 50)), "p95": float(np.percentile(delays, 95))},
        "keys": len(delays),
        "compute_ms": float(np.median([ms for one in played for ms in one["compute_ms"]])),
    }


async def send(socket: aiohttp.ClientWebSocketResponse, message: dict[str, Any]) -> None:
    """Send a message to a server."""
    data: Any = msgpack.packb(message)  # ``None`` for a packer that writes elsewhere, say its types
    await socket.send_bytes(data)


async def _play(address: str, benchmark: PlayBenchmark, seed: int, ready: asyncio.Barrier) -> dict[str, Any]:
    """Turn to and fro for a while, pressing a key every now and then; frames are shown at the model's speed."""
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(urljoin(address, WEBSOCKET_PATH), max_msg_size=0) as socket,
    ):
        await send(socket, {"type": "init", "seed": seed, "worldkv": {"memories": list(benchmark.memories)}})
        fps = (await _until(socket, "session"))["fps"]
        await _until(socket, "chunk_stats")
        await ready.wait()
        pressed: dict[int, float] = {}
        pressing = asyncio.create_task(_press(socket, pressed))
        delays, compute, frames, batch_at, shown_until = [], [], 0, 0.0, 0.0
        begun = time.monotonic()
        try:
            while time.monotonic() < begun + benchmark.seconds:
                message = msgpack.unpackb((await asyncio.wait_for(socket.receive(), 60)).data)
                if message["type"] == "frame_batch":
                    batch_at = batch_at or time.monotonic()
                elif message["type"] == "chunk_stats":
                    shown_at = max(batch_at, shown_until)
                    shown_until = shown_at + message["num_frames"] / fps
                    delays += [shown_at - pressed[number] for number in message["applied_event_ids"]]
                    compute += [lane["compute_ms"] for lane in message["lanes"]]
                    frames, batch_at = frames + message["num_frames"], 0.0
        finally:
            pressing.cancel()
        return {"frames": frames, "seconds": time.monotonic() - begun, "delays": delays, "compute_ms": compute}


async def _press(socket: aiohttp.ClientWebSocketResponse, pressed: dict[int, float]) -> None:
    """Hold one key after another, so that there is always something to do; note when each was pressed."""
    # Not in step with the chunks: keys come at any moment of one.
    draw = np.random.default_rng(id(pressed) % 2**32)
    for number in range(1, 10**9):
        key = "jl"[number % 2]
        state = {"mode": "state", "transitions": [{"actions": [key], "client_ts_ms": 1000 * time.monotonic()}]}
        pressed[number] = time.monotonic()
        event = {"type": "event", "kind": "camera_actions", "event_id": number, "payload": state}
        await send(socket, event)
        await asyncio.sleep(_PRESS_SECONDS * draw.uniform(0.5, 1.5))


async def _until(socket: aiohttp.ClientWebSocketResponse, kind: str) -> dict[str, Any]:
    while True:
        received = await asyncio.wait_for(socket.receive(), _START_SECONDS)
        if received.type != aiohttp.WSMsgType.BINARY:
            raise ValueError(f"the server closed the connection: {received.data} {received.extra or ''}")
        message = msgpack.unpackb(received.data)
        if message["type"] == kind:
            return message
