"""A server that is killed: whoever comes back finds the session where it was, bit for bit."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from worldkv_jax.play.client import PlayError, connect
from worldkv_jax.play.keeping import SAVE_EVERY

_PROGRAM = "import sys; from worldkv_jax.cli.main import main; sys.exit(main())"


class Server:
    """``worldkv play`` in a process of its own, as a user starts it."""

    def __init__(self, state):
        command = [
            sys.executable,
            "-c",
            _PROGRAM,
            "play",
            "demo-world",
            "--port",
            "0",
            "--no-browser",
            "--state",
            state,
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        self.address = self.process.stdout.readline().strip()  # the first line is the address

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.mark.slow
def test_sessions_come_back_after_kill_and_after_a_wish_to_end(tmp_path):
    state = str(tmp_path / "state")
    with Server(state) as server:
        with connect(server.address, seed=5, fast=True) as world:
            name = world.session["session_id"]
            world.act(["l"], frames=3 * SAVE_EVERY)
            world.fork(20)
            made = world.act(["w"], frames=9)
            os.kill(server.process.pid, signal.SIGKILL)
            with pytest.raises(PlayError):
                world.act(["l"], frames=30)
        server.process.wait()
    with Server(state) as server:
        with connect(server.address, session=name, fast=True) as world:
            assert world.session["position"] == 23 and world.wait("timeline")["current"] == 1
            assert np.array_equal(world.wait("chunk").frames[0], made[-1].frames[0])
            world.switch(0)
            assert world.timeline["position"] == 13 + SAVE_EVERY
            made = world.act(["j"], frames=6)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(60) == 0
    with Server(state) as server, connect(server.address, session=name) as world:
        assert world.session["position"] == 15 + SAVE_EVERY
        assert np.array_equal(world.wait("chunk").frames[0], made[-1].frames[0])
