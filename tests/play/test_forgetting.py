"""Memory of a server that runs for long: what nobody can go back to is forgotten."""

import asyncio
import types

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("prometheus_client")

from worldkv_jax.play.history import Tree
from worldkv_jax.play.metrics import Metrics
from worldkv_jax.play.seat import House, Seat
from worldkv_jax.play.store import Shown
from worldkv_jax.play.turns import Turns
from worldkv_jax.sessions.steering import Controls, Key


def test_pictures_of_a_past_that_was_rewound_are_forgotten(tmp_path):
    tree = Tree(0, ("default",))
    marks = [tree.append(Controls((("w",),))) for _ in range(4)]
    steering = types.SimpleNamespace(keys=(Key("w", "ahead", "walk"),), aliases={}, fps=8.0)
    player = types.SimpleNamespace(
        tree=tree, game=types.SimpleNamespace(steering=steering), make_current=lambda: iter(())
    )
    nothing = types.SimpleNamespace()
    house = House(
        turns=Turns(),
        encoders=nothing,
        writer=nothing,
        metrics=Metrics(),
        recordings=tmp_path,
        idle_seconds=1.0,
        fits=nothing,
        prepare=nothing,
    )
    shown = {mark: Shown([], b"", "", []) for mark in marks}
    seat = Seat("a", player, house, book=None, shown=shown)

    async def change():
        for one in (["fork", 3], ["rewind", 1]):
            await seat._go(one, nothing)

    tree.apply(["save", "here"])
    asyncio.run(change())
    assert list(shown) == marks
    tree.apply(["switch", 0])
    tree.apply(["rewind", 2])
    del tree.named["here"]
    asyncio.run(seat._go(["fork", 0], nothing))
    assert list(shown) == marks[:2]
