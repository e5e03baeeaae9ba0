"""A rollout that is killed at any moment leaves a world that goes on from its last moment."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.memory.walks import worldkv
from tests.sessions.tiny import assert_same, roll, tiny_session
from worldkv_jax.sessions import WorldFolder
from worldkv_jax.sessions.world_files import open_files
from worldkv_jax.sessions.world_manifest import has_world

LENGTH = 40
MEMORY = worldkv(capacity=LENGTH, tier="host")


def save_until_killed(folder: str) -> None:
    """Roll out into a folder, slowly, again and again from where it is."""
    session = tiny_session(MEMORY, LENGTH)
    world = session.restore(folder) if has_world(open_files(folder)) else session.start()
    with session.saving(folder, every=1) as saver:
        for chunk in session.stream(world, seed=1, keeper=saver):
            print(chunk.index, flush=True)


def killed_after(folder: Path, chunks: int, pause: float) -> int:
    """Start it, kill it a moment after so many chunks; return how many chunks were done with."""
    program = "import sys; from tests.sessions.test_killed import save_until_killed as f; f(sys.argv[1])"
    process = subprocess.Popen([sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE, text=True)
    last = -1
    for line in process.stdout:
        last = int(line)
        chunks -= 1
        if chunks <= 0:
            break
    time.sleep(pause)
    os.kill(process.pid, signal.SIGKILL)
    last = max([last, *map(int, process.stdout.read().split())])
    process.wait()
    return last


def check_goes_on(folder: Path, want: list, done: int) -> None:
    """Restore, and compare the next two chunks.

    The writer has one moment in hand, one waits, and one waits for that: no earlier one may be lost.
    """
    session = tiny_session(MEMORY, LENGTH)
    end = WorldFolder(folder).manifest.end if has_world(open_files(folder)) else 0
    assert end >= done - 2, f"chunk {done} was done with, and the folder ends at {end}"
    if not end:
        return
    WorldFolder(folder).verify()
    made, _ = roll(session, session.restore(folder), session.inputs()[end : end + 2], seed=1)
    assert_same(made, want[end : end + 2])


@pytest.fixture(scope="module")
def want():
    """What the rollout makes when nobody kills it."""
    session = tiny_session(MEMORY, LENGTH)
    return roll(session, session.start(), seed=1)[0]


@pytest.mark.long
@pytest.mark.parametrize(
    "times", [pytest.param(1, id="once"), pytest.param(50, id="fifty times", marks=pytest.mark.slow)]
)
def test_a_killed_rollout_goes_on(times, want, tmp_path):
    rng = random.Random(times)
    folder = tmp_path / "world"
    for attempt in range(times):
        if has_world(open_files(folder)) and WorldFolder(folder).manifest.end > LENGTH - 8:
            folder = tmp_path / f"world{attempt}"
        done = killed_after(folder, rng.randint(2, 8), rng.uniform(0, 0.05))
        check_goes_on(folder, want, done)
