"""The server under what clients do to it: sessions that come back, and bad input that ends nobody else's play."""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import msgpack
import numpy as np
import pytest

from tests.play.conftest import running
from worldkv_jax.media import read_video
from worldkv_jax.play import outlet
from worldkv_jax.play.client import PlayError, connect
from worldkv_jax.play.connection import MOST_MISTAKES
from worldkv_jax.play.guard import Guard
from worldkv_jax.play.history import Tree
from worldkv_jax.play.player import Player
from worldkv_jax.play.store import Shelf

aiohttp, web = pytest.importorskip("aiohttp"), pytest.importorskip("aiohttp.web")
SOCKET = "v1/realtime_video/generate"


def get(address, path="", headers=None):
    request = urllib.request.Request(address + path, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=300) as answer:
            return answer.status, answer.read(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, error.read(), dict(error.headers)


async def closing(socket):
    """Read until the server closes; return the code and what it said."""
    said = []
    while (message := await asyncio.wait_for(socket.receive(), 300)).type == aiohttp.WSMsgType.BINARY:
        said.append(msgpack.unpackb(message.data))
    return message.data, said


def raw(address, work, **options):
    async def main():
        async with aiohttp.ClientSession() as http, http.ws_connect(address + SOCKET, **options) as socket:
            return await work(socket)

    return asyncio.run(main())


def pack(**message):
    return msgpack.packb(message)


@pytest.mark.long
def test_somebody_walks_forks_records_and_comes_back(serve, demo, tmp_path):
    with serve(game=demo, state=tmp_path / "state") as address:
        with connect(address, seed=3, memories=["default", "window"]) as world:
            assert world.session["truth"] and world.session["first"] == 12
            world.send("record", {"on": True})
            away = world.act(["l"], frames=18)
            back = world.act(["left"], frames=18)
            world.send("record", {"on": False})
            assert [world.wait("recording")["state"] for _ in range(2)] == ["on", "ready"]
            default, window = back[-1].stats["lanes"]
            assert default["psnr"] > window["psnr"] + 3
            assert back[-1].frames[0].shape == (3, 32, 48, 3) and len(back[-1].frames) == 2
            assert sum(len(chunk.frames[0]) for chunk in away) == 18
            branch = world.fork(15)
            assert world.timeline["current"] == branch == 1
            world.switch(0)
            assert world.timeline["branches"][1] == {"branch": 1, "parent": 0, "at": 15, "length": 15}
            shared = world.session_file()
            with pytest.raises(PlayError, match="unknown key"):
                world.act(["q"], frames=3)
            with pytest.raises(PlayError, match="not among them"):
                world.rewind(99)
            name = world.session["session_id"]
            status, video, _ = get(address, f"v1/sessions/{name}/recording.mp4")
            (tmp_path / "video.mp4").write_bytes(video)
            assert status == 200 and read_video(tmp_path / "video.mp4")[0].shape[1:3] == (256, 784)
            assert get(address, "v1/sessions/..%2F..%2Fx/recording.mp4")[0] == 404
        with connect(address, session=name) as world:
            assert world.session["resumed"] and world.wait("chunk").index == world.session["position"] - 1
        with connect(address, replay=shared) as world:
            assert world.wait("status")["replay"] == {"chunks": 13, "first_difference": None}
    # Another server finds what this one kept.
    with serve(game=demo, state=tmp_path / "state") as address:
        with connect(address, session=name) as world:
            last = world.wait("chunk")
            assert np.array_equal(last.frames[0], back[-1].frames[0]) and last.stats["thumbnail"]
        assert get(address, "health")[1].startswith(b'{"status": "ok"')


@pytest.mark.long
def test_a_full_world_refuses_what_is_pressed(serve, monkeypatch):
    """Whoever waits for what comes of it is told, every time, also in the middle of a script."""
    monkeypatch.setattr(Player, "full", property(lambda self: "it is full" if self.position >= 3 else None))
    with serve() as address, connect(address, memories=["window"], fast=True) as world:
        world.wait("chunk")  # the first comes by itself, and there is room for one more
        for frames in (6, 3, 3):
            with pytest.raises(PlayError, match="it is full"):
                world.act(["l"], frames=frames)
        world.rewind(2)
        assert len(world.act(["l"], frames=3)) == 1


def test_memories_and_seeds_change(serve):
    with serve() as address, connect(address, seed=3, memories=["window"]) as world:
        before = world.act(["l"], frames=6)
        world.remember_with("default", "window")
        remade = world.wait("chunk")
        assert np.array_equal(remade.frames[1], before[-1].frames[0])
        world.reset(4)
        assert world.timeline["position"] == 1 and world.wait("chunk").index == 1
        with pytest.raises(PlayError, match="no memory"):
            world.remember_with("elephant")


@pytest.mark.long
def test_sessions_that_were_left_are_put_away_and_come_back(serve, tmp_path):
    with serve(state=tmp_path, leave_seconds=0.1) as address:
        with connect(address, seed=3) as world:
            made, name = world.act(["l"], frames=30), world.session["session_id"]
        until = time.monotonic() + 300
        while json.loads(get(address, "health")[1])["sessions"] and time.monotonic() < until:
            time.sleep(0.05)
        with connect(address, session=name) as world:
            assert np.array_equal(world.wait("chunk").frames[0], made[-1].frames[0])
            assert list(tmp_path.glob("*/points-*/0/world.json"))
        with pytest.raises(PlayError, match="no session of this name"), connect(address, session="../../etc"):
            pass


@pytest.mark.parametrize("own", [True, False], ids=["our client", "SGLang's client"])
def test_an_idle_session_is_closed(serve, own):
    """Ours computes nothing meanwhile; SGLang's goes on until then."""

    async def work(socket):
        await socket.send_bytes(pack(type="init", **({"worldkv": {}} if own else {})))
        return await closing(socket)

    with serve(idle_seconds=0.5) as address:
        code, said = raw(address, work)
    chunks = [one["type"] for one in said].count("chunk_stats")
    assert code == 1000 and (chunks == 1 if own else chunks >= 1)


def test_who_finds_no_place_waits_for_one(serve):
    with serve(sessions=1, waiting=1) as address, connect(address) as first:
        name = first.session["session_id"]

        async def work(socket):
            await socket.send_bytes(pack(type="init", worldkv={}))
            place = msgpack.unpackb((await asyncio.wait_for(socket.receive(), 300)).data)

            async def turned_away(other):
                await other.send_bytes(pack(type="init"))
                return await closing(other)

            async with aiohttp.ClientSession() as http, http.ws_connect(address + SOCKET) as other:
                code, said = await turned_away(other)
            return place, code, said

        place, code, said = raw(address, work)
        assert place == {"type": "queue", "place": 1, "waiting": 1}
        assert code == 1013 and "full" in said[0]["content"]
        assert first.act(["l"], frames=3) and name


def test_a_second_window_takes_the_session_over(serve):
    with serve() as address, connect(address) as first:
        first.act(["l"], frames=3)
        with connect(address, session=first.session["session_id"]) as second:
            assert second.session["resumed"] and second.act(["l"], frames=3)
            with pytest.raises(PlayError, match="another window"):
                first.act(["l"], frames=3)


def test_bad_messages_end_with_their_sender_alone(serve):
    async def garbage(socket):
        for _ in range(MOST_MISTAKES):
            await socket.send_bytes(b"\xc1garbage")
        return await closing(socket)

    async def flood(socket):
        await socket.send_bytes(pack(type="init", worldkv={}))
        with contextlib.suppress(ConnectionError):  # it closes before it has read all
            for number in range(2000):
                await socket.send_bytes(pack(type="event", kind="heartbeat", event_id=number))
        return await closing(socket)

    async def huge(socket):
        with contextlib.suppress(ConnectionError):  # it closes before it has read all
            await socket.send_bytes(bytes(13 * 1024**2))
        return await closing(socket)

    async def leave(socket):
        await socket.send_bytes(pack(type="init"))
        await socket.receive()
        socket._response.connection.transport.abort()  # in the middle of a chunk
        return 1006, []

    with serve() as address, connect(address, seed=3, form="raw") as bystander:
        expected = bystander.act(["l"], frames=9)
        bystander.reset(3)
        bystander.wait("chunk")
        made = [bystander.act(["l"], frames=3)[0]]
        code, said = raw(address, garbage)
        assert code == 1008 and "MessagePack" in said[0]["content"]
        made += bystander.act(["l"], frames=3)
        code, said = raw(address, flood)
        assert code == 1008 and any("send fewer" in one.get("content", "") for one in said)
        assert raw(address, huge)[0] in (1009, None)
        raw(address, leave)
        made += bystander.act(["l"], frames=3)
        assert all(np.array_equal(a.frames[0], b.frames[0]) for a, b in zip(made, expected, strict=True))
        said = get(address, "metrics")[1].decode()
        assert 'worldkv_play_errors_total{kind="message"}' in said and 'kind="defect"' not in said


def test_a_client_that_never_reads_is_ended(monkeypatch):
    """Without a network, whose buffers take megabytes before a writer notices."""
    monkeypatch.setattr(outlet, "WRITE_SECONDS", 0.1)

    class Unread:
        async def send_bytes(self, data):
            await asyncio.Event().wait()

    async def main():
        aborted = []
        stuck = outlet.Outlet(Unread(), lambda: aborted.append(True))
        for number in range(200):  # none of these waits for longer than one may take to read
            await asyncio.wait_for(stuck.send({"type": "status", "content": str(number)}), 300)
        await asyncio.wait_for(stuck.drained(), 300)
        assert stuck.gone.is_set() and aborted

    asyncio.run(main())


def test_a_defect_shows_nothing_of_the_inside(serve, monkeypatch):
    from worldkv_jax.play.player import Player

    def broken(self, controls):
        raise RuntimeError("/secret/place")

    with serve() as address, connect(address) as world:
        monkeypatch.setattr(Player, "step", broken)
        with pytest.raises(PlayError, match="made a mistake") as error:
            world.act(["l"], frames=3)
        assert "secret" not in str(error.value)
        monkeypatch.undo()
        with connect(address) as other:
            assert other.act(["l"], frames=3)


def test_pages_of_other_sites_and_other_names_are_turned_away(serve):
    with serve() as address:
        here = address.removeprefix("http://").strip("/")
        assert get(address, headers={"Host": "evil.example"})[0] == 421
        assert get(address, headers={"Origin": "http://evil.example"})[0] == 403
        assert get(address, headers={"Origin": f"http://{here}"})[0] == 200
        status, _, headers = get(address)
        assert status == 200 and "default-src 'self'" in headers["Content-Security-Policy"]
        with pytest.raises(aiohttp.WSServerHandshakeError):
            raw(address, closing, origin="http://evil.example")


def test_a_token_is_needed_where_there_is_one(serve):
    token = "a token that nobody guesses"
    with serve(guard=Guard("127.0.0.1", token=token)) as address:
        for path in ("", "metrics", "v1/info", "static/index.html", SOCKET):
            assert get(address, path)[0] == 401
        assert get(address, "health")[0] == 200
        assert get(address, "v1/info", {"Authorization": f"Bearer {token}"})[0] == 200
        assert get(address, "v1/info", {"Cookie": 'worldkv_token="a token that nobody guesses"'})[0] == 200
        assert get(address, "v1/info", {"Authorization": "Bearer wrong"})[0] == 401
        with pytest.raises(PlayError, match="401"), connect(address):
            pass
        with connect(address, token=token) as world:
            assert world.act(["l"], frames=3)


@pytest.mark.parametrize("token", [None, "a token that nobody guesses"])
def test_whatever_stands_in_a_head_is_answered(token):
    """Refused, and not taken for an error of the server, which would be logged with all that is inside."""
    guard = Guard("127.0.0.1", token=token)

    async def answer(request):
        return web.Response()

    app = web.Application(middlewares=[guard.check])
    app.router.add_get("/{rest:.*}", answer)
    with running(app) as address:
        port = urllib.parse.urlsplit(address).port
        host = f"Host: 127.0.0.1:{port}".encode()
        for lines, status in (
            ((b"Host: [::1",), 421),
            ((b"Host: \xff",), 421),
            ((host, b"Origin: http://["), 403),
            ((host, b"Authorization: Bearer \xff\xfe"), 401 if token else 200),
            ((host, b"Cookie: worldkv_token=\xff\xfe"), 401 if token else 200),
        ):
            assert answered(port, b"GET / HTTP/1.1", *lines) == status, lines
        assert answered(port, b"GET /static/" + b"a" * 5000 + b" HTTP/1.1", host) == 414


def test_a_client_that_leaves_before_it_is_answered_is_no_error_of_the_server(serve, caplog):
    """As a browser that asked while the server was starting, and was closed."""
    left = []

    class Slow(Guard):
        @web.middleware
        async def check(self, request, handler):
            if request.path.endswith(SOCKET):
                while request.transport is not None and not request.transport.is_closing():
                    await asyncio.sleep(0.01)
            try:
                return await handler(request)
            finally:
                left.append(request.path)

    with serve(guard=Slow("127.0.0.1", token=None)) as address:
        port = urllib.parse.urlsplit(address).port
        head = (
            f"GET /{SOCKET} HTTP/1.1",
            f"Host: 127.0.0.1:{port}",
            "Upgrade: websocket\r\nConnection: Upgrade",
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall("\r\n".join(head).encode())
        since = time.monotonic()
        while not left and time.monotonic() < since + 30:
            time.sleep(0.01)
        assert get(address, "health")[0] == 200
    assert left == [f"/{SOCKET}", "/health"] and not caplog.records, caplog.text


def answered(port, *lines):
    """Send a head, whatever bytes it has; return the status of the answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=300) as connection:
        connection.sendall(b"\r\n".join([*lines, b"Connection: close", b"", b""]))
        return int(connection.recv(100).split()[1])


@pytest.mark.parametrize("address", ["127.0.0.1:8000", "localhost:8000/", "", "file:///etc/passwd"])
def test_what_is_no_address_is_named(address):
    with pytest.raises(PlayError, match="is no address; give what the server printed"), connect(address):
        pass


def test_guards_are_made_right():
    with pytest.raises(ValueError, match="token is needed"):
        Guard("0.0.0.0", token=None)
    with pytest.raises(ValueError, match="at least 16"):
        Guard("0.0.0.0", token="short")


def test_connections_of_one_client_are_counted(serve):
    with serve(per_client=1) as address, connect(address):
        assert raw(address, closing)[0] == 1008


def test_a_folder_of_somebody_is_left_as_it_is(tmp_path, game):
    """Whatever folder is named for sessions: only what is kept there is made private, and goes when it is old."""
    theirs = tmp_path / "their robot"
    theirs.mkdir()
    (theirs / "journal.jsonl").write_text("of another program")
    tmp_path.chmod(0o755)
    shelf = Shelf(tmp_path, game)
    shelf.new("a session", Tree(1, ("window",))).close()
    (ours,) = (place for place in tmp_path.iterdir() if place != theirs)
    assert ours.stat().st_mode & 0o777 == 0o700 and tmp_path.stat().st_mode & 0o777 == 0o755
    for folder in (theirs, ours):
        os.utime(folder / "journal.jsonl", (0, 0))
    assert shelf.sweep(30) == 1 and [*tmp_path.iterdir()] == [theirs]


def test_the_client_needs_no_jax():
    code = "import sys, worldkv_jax.play.client; assert 'jax' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
