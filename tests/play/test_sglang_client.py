"""A client that speaks SGLang's messages alone, written from their specification and sharing nothing with ours."""

import asyncio
import io

import msgpack
import pytest
from PIL import Image

aiohttp = pytest.importorskip("aiohttp")


class SGLangClient:
    """Sends maps, and collects the batches of each chunk until its stats come."""

    def __init__(self, socket):
        self.socket, self.others = socket, []

    async def send(self, **message):
        await self.socket.send_bytes(msgpack.packb(message))

    async def receive(self):
        message = await asyncio.wait_for(self.socket.receive(), 300)
        return msgpack.unpackb(message.data) if message.type == aiohttp.WSMsgType.BINARY else message

    async def chunk(self):
        batches = []
        while True:
            message = await self.receive()
            if not isinstance(message, dict):
                return message, None
            if message["type"] == "frame_batch":
                batches.append(message)
            elif message["type"] == "chunk_stats":
                return batches, message
            else:
                self.others.append(message)


def with_client(address, work):
    async def main():
        async with (
            aiohttp.ClientSession() as http,
            http.ws_connect(address + "v1/realtime_video/generate", max_msg_size=0) as socket,
        ):
            return await work(SGLangClient(socket))

    return asyncio.run(main())


def frames_of(batches):
    made = []
    for number, batch in enumerate(batches):
        assert (batch["frame_batch_index"], batch["num_frame_batches"]) == (number, len(batches))
        assert batch["is_final_frame_batch"] == (number == len(batches) - 1)
        assert sum(batch["payload_lengths"]) == batch["total_size"] == len(batch["payload"])
        assert len(batch["payload_lengths"]) == batch["num_frames"] <= (16 if batch["format"] == "rgb24" else 6)
        at = 0
        for size in batch["payload_lengths"]:
            data = batch["payload"][at : at + size]
            at += size
            if batch["format"] == "rgb24":
                assert size == batch["bytes_per_frame"] == batch["width"] * batch["height"] * batch["channels"]
                made.append(Image.frombytes("RGB", (batch["width"], batch["height"]), data))
            else:
                made.append(Image.open(io.BytesIO(data)).convert("RGB"))
    return made


@pytest.mark.long
def test_twenty_chunks(serve):
    async def work(client):
        await client.send(type="init", prompt="a room", seed=5, max_chunks=20, realtime_output_pacing=False)
        chunks = []
        for number in range(20):
            batches, stats = await client.chunk()
            assert stats["chunk_index"] == number
            assert stats["num_frames"] == len(frames_of(batches)) == 3
            assert stats["num_batches"] == len(batches)
            whole = ("request_prepare_ms", "scheduler_forward_ms", "pace_wait_ms", "raw_payload_build_ms")
            assert all(isinstance(stats[name], int) for name in (*whole, "ws_write_ms", "chunk_total_ms"))
            assert stats["ws_payload_bytes"] > sum(batch["total_size"] for batch in batches)
            chunks.append(frames_of(batches)[0].tobytes())
            if number == 4:
                await client.send(type="event", kind="camera_actions", event_id=9, payload=[["l"]] * 30)
            if number == 9:
                assert stats["event_id"] == 9
                state = {"mode": "state", "transitions": [{"actions": ["w"], "client_ts_ms": 1}]}
                await client.send(type="event", kind="camera_actions", event_id=10, payload=state)
                await client.send(type="event", kind="heartbeat", event_id=11, payload=None)
        end = await client.receive()
        assert (end.type, end.data, end.extra) == (aiohttp.WSMsgType.CLOSE, 1000, "generation complete")
        assert not client.others  # nothing that it does not know
        assert chunks[4] != chunks[9]

    with serve() as address:
        with_client(address, work)


@pytest.mark.parametrize(("form", "name"), [("raw", "rgb24"), ("jpeg", "jpeg"), ("webp", "webp")])
def test_formats(serve, form, name):
    async def work(client):
        await client.send(type="init", seed=5, max_chunks=1, realtime_output_format=form)
        batches, stats = await client.chunk()
        assert batches[0]["format"] == name and batches[0]["content_type"] == stats["content_type"]
        return frames_of(batches)[0].size

    with serve() as address:
        assert with_client(address, work) == (2, 2)


def test_a_bad_init_may_be_sent_again_and_a_bad_event_is_ignored(serve):
    async def work(client):
        await client.send(type="event", kind="heartbeat", event_id=1, payload=None)
        assert "init" in (await client.receive())["content"]
        await client.send(type="init", seed="x")
        assert "seed" in (await client.receive())["content"]
        await client.send(type="init", seed=1, max_chunks=4)
        await client.chunk()
        await client.send(type="event", kind="camera_actions", event_id=1, payload=[["?"]])
        for _ in range(3):
            await client.chunk()
        (error,) = client.others
        assert error["type"] == "error" and "unknown key" in error["content"]

    with serve() as address:
        with_client(address, work)
