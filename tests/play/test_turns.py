"""Turns are fair, whoever comes, goes, or takes longer."""

import asyncio
import collections
import time

import pytest

from worldkv_jax.play import pacing
from worldkv_jax.play.pacing import Pace
from worldkv_jax.play.turns import Turns


def test_whoever_had_least_comes_next():
    """One whose chunks count three times gets a third as many; who comes late makes up for nothing."""
    turns, made, late = Turns(), collections.Counter(), asyncio.Event()

    async def play(name, share):
        while made["quick 0"] < 60:
            async with turns.turn(name, share=share) as turn:
                await turn.run(time.sleep, 0.001)
                made[name] += 1
            if made["quick 0"] == 30:
                late.set()

    async def come_late():
        await late.wait()
        await play("late", 1.0)

    async def main():
        quick = [play(f"quick {number}", 1.0) for number in range(4)]
        await asyncio.gather(play("slow 0", 3.0), play("slow 1", 3.0), come_late(), *quick)

    asyncio.run(main())
    turns.close()
    assert all(abs(made[f"quick {number}"] - 60) <= 2 for number in range(4))
    assert all(abs(made[f"slow {number}"] - 20) <= 2 for number in range(2))
    assert abs(made["late"] - 30) <= 3


def test_a_turn_that_is_given_up_goes_to_the_next():
    turns, order = Turns(), []

    async def work(name):
        async with turns.turn(name) as turn:
            await turn.run(time.sleep, 0.02)
            order.append(name)

    async def main():
        first = asyncio.create_task(work("first"))
        await asyncio.sleep(0)
        second, third = asyncio.create_task(work("second")), asyncio.create_task(work("third"))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.gather(first, third)
        await asyncio.wait_for(work("fourth"), 300)

    asyncio.run(main())
    turns.close()
    assert order == ["first", "third", "fourth"]


def test_what_fails_in_a_turn_gives_it_back():
    turns = Turns()

    async def main():
        with pytest.raises(ZeroDivisionError):
            async with turns.turn("a") as turn:
                await turn.run(lambda: 1 / 0)
        async with turns.turn("b") as turn:
            assert await turn.run(lambda: 3) == 3

    asyncio.run(asyncio.wait_for(main(), 300))
    turns.close()


def test_chunks_are_not_begun_before_the_one_ahead_is_nearly_shown(monkeypatch):
    now = 100.0
    monkeypatch.setattr(pacing.time, "monotonic", lambda: now)
    pace = Pace(10.0)
    assert pace.wait() == 0
    pace.sent(10, now - 0.1)  # a second of frames, which took a tenth
    assert 0.9 < (left := pace.wait()) < 0.95
    now += 0.5
    assert pace.wait() == pytest.approx(left - 0.5)
    now += 0.5
    assert pace.wait() == 0
    assert Pace(10.0, paced=False).wait() == 0
