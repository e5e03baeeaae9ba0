"""What clients get does not depend on how quick they or the server are."""

import asyncio

import numpy as np
import pytest

from worldkv_jax.play.admission import Limits
from worldkv_jax.play.client import PlayError, connect
from worldkv_jax.play.history import Tree
from worldkv_jax.play.inbox import Inbox
from worldkv_jax.play.keyboard import Transition
from worldkv_jax.play.lobby import Lobby
from worldkv_jax.play.outlet import Outlet
from worldkv_jax.play.player import Player
from worldkv_jax.play.points import Moment
from worldkv_jax.play.protocol import Event
from worldkv_jax.play.store import PointToKeep, Shelf
from worldkv_jax.sessions.camera_walk import ARROWS, CameraWalk
from worldkv_jax.sessions.steering import Controls


class _Steering:
    keys, aliases, fps, tour = CameraWalk().keys, ARROWS, 30.0, (("l", 3),)


def press(number, *keys):
    return Event(kind="camera_actions", payload=(keys,) * 3, number=number)


def test_keys_wait_for_the_chunk_after_the_first():
    inbox = Inbox(_Steering())
    inbox.take(press(1, "w"))
    assert inbox.sample(3, first=True) == (Controls(((),) * 3), [])
    controls, applied = inbox.sample(3)
    assert controls.frames == (("w",),) * 3 and [number for number, _ in applied] == [1]


def test_the_first_chunk_shows_what_its_session_was_opened_with():
    opened, watching, replaying = (Inbox(_Steering()) for _ in range(3))
    opened.open((("w",),) * 3)
    watching.watch()
    replaying.replay([Controls((("d",),) * 3)])
    firsts = [inbox.sample(3, first=True)[0].frames[0] for inbox in (opened, watching, replaying)]
    assert firsts == [("w",), ("l",), ("d",)]


def test_what_comes_while_a_client_is_told_that_nothing_does_is_not_waited_for():
    async def main():
        inbox, gone = Inbox(_Steering()), asyncio.Event()
        told = inbox.taken
        # A key is let go: there is nothing to do, but to say that it was seen.
        inbox.take(Event(kind="camera_actions", payload=[Transition(frozenset(), 0.0)], number=1))
        await asyncio.wait_for(inbox.wait(gone, 900.0, told=told), 300)
        assert inbox.idle and inbox.taken == 1

    asyncio.run(main())


def test_the_same_acts_make_the_same_world(serve):
    made = []
    with serve() as address:
        for waits in (False, True):
            with connect(address, seed=3, form="raw") as world:
                if waits:
                    world.wait("rest")
                made.append(world.act(["l"], frames=6))
                assert world.fork(2) == 1
    for quick, slow in zip(*made, strict=True):
        assert quick.index == slow.index and np.array_equal(quick.frames[0], slow.frames[0])


def test_who_comes_back_and_acts_at_once_is_answered_for_that(serve):
    """The time line of what he finds comes first, and is none of what he did."""
    with serve() as address:
        with connect(address, seed=3) as world:
            world.act(["l"], frames=9)
        with connect(address, session=world.session["session_id"]) as world:
            assert world.fork(2) == 1
            world.rewind(1)
            assert world.timeline["position"] == 1


def test_a_world_that_is_begun_anew_is_told_once(serve):
    with serve() as address, connect(address) as world:
        world.reset(4)
        while world.wait("rest")["event_id"] < 1:  # one from before
            pass
        with pytest.raises(TimeoutError):
            world.wait("timeline", seconds=0.01)


def test_why_a_connection_ends_is_told_also_where_the_server_has_no_time_for_it(serve, monkeypatch):
    async def nothing(outlet, content, **more):
        pass

    monkeypatch.setattr(Outlet, "error", nothing)
    told = pytest.raises(PlayError, match=r"the connection ended: opened in another window \(1000\)")
    with serve() as address, connect(address) as first:
        first.wait("rest")
        with connect(address, session=first.session["session_id"]), told:
            first.wait("saved")


def test_rest_is_told_of_the_latest_event(serve):
    with serve() as address, connect(address) as world:
        assert world.wait("rest")["event_id"] == 0
        world.act(["l"], frames=6)
        assert world.wait("rest")["event_id"] == 1
        assert world.send("camera_actions", {"mode": "state", "transitions": [{"actions": []}]}) == 2
        assert world.wait("rest")["event_id"] == 2
        world.send("camera_actions", [["no such key"]])
        with pytest.raises(PlayError, match="unknown key"):
            world.wait("saved")
        assert world.wait("rest")["event_id"] == 3


def test_a_replay_that_is_ended_by_a_key_is_called_no_other_world(serve):
    with serve() as address:
        with connect(address, seed=3, fast=True) as world:
            world.act(["l"], frames=30)
            shared = world.session_file()
        with connect(address, replay=shared) as world:
            world.act(["w"], frames=3)
            world.wait("rest")
            assert all(said["replay"]["first_difference"] is None for said in world._socket._waiting["status"])


def test_a_session_that_is_put_away_while_it_is_waited_for_is_opened_again(game, tmp_path):
    async def main():
        lobby, gone = Lobby(game, Limits(), state=tmp_path), asyncio.Event()
        lobby.open()

        async def nobody(place, waiting):
            pass

        def seat(name):
            return lobby.seat(seed=3, memories=("window",), name=name, tell=nobody, gone=gone)

        async def come_back(name):
            async with seat(name) as (found, resumed):
                return found, resumed

        async with seat(None) as (first, _):
            coming = asyncio.create_task(come_back(first.name))
            while not first.playing._waiters:
                await asyncio.sleep(0)
        assert await lobby._drop_one()
        found, resumed = await asyncio.wait_for(coming, 300)
        assert resumed and found is not first and lobby.seats[first.name] is found
        await lobby.close()

    asyncio.run(main())


def test_a_point_is_written_as_what_it_was(game, tmp_path):
    """Also where the world was begun anew, with another seed and memory, before the writer came to it."""
    player = Player(game, Tree(3, ("window",)))
    player.step(Controls((("l",),) * 3))
    point = PointToKeep.of(player.tree, 1, Moment(tuple(lane.copy() for lane in player._lanes), player._state))
    book = Shelf(tmp_path, game).new("x", player.tree)
    book.write(["chunk", Controls((("l",),) * 3).to_json()])
    player.tree.remember_with(["default", "window"])
    player.tree.reset(4)
    book.save_point(point)
    found = Shelf(tmp_path, game).find("x").read()
    back = Player(game, found.tree)
    assert found.point[0] == 1 and int(book.load_point(back, found.point).worlds[0].position) == player.first + 1
