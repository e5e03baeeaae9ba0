"""A rollout that is ended at any moment: what was finished stays, and of what was not only drafts named as such."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.cli.test_errors import RUN, environment
from worldkv_jax.media import read_video

MOMENTS = 30
LONG = ["rollout", "demo-world", "--trajectory", "R360_" * 40 + "L90", "--memory", "sliding", "--latents"]
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -signal.SIGKILL}


def seconds_until_the_first_chunk(folder):
    """Measure when a rollout's video has its first frames, so that moments can be drawn around that."""
    since = time.monotonic()
    command = [sys.executable, "-c", RUN, *LONG, "--out", str(folder)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=environment()) as child:
        while not any(path.stat().st_size > 1000 for path in folder.glob("*.mp4")):
            assert child.poll() is None
            time.sleep(0.05)
        child.kill()
    return time.monotonic() - since


def check_what_is_left(out, number, code, said):
    """Check the folder of a rollout that was ended; return how many chunks it kept."""
    left = {path.name for path in out.iterdir()} if out.is_dir() else set()
    if number == signal.SIGKILL:
        assert all(".draft-" in name for name in left), left
        for video in out.glob("video.draft-*.mp4"):
            if video.stat().st_size > 50_000:  # past its first whole second
                assert len(read_video(video, limit=1, tell=lambda _: None)[0]) == 1
        return 0
    if not left:
        assert code in (CODES[number], -number), said  # before the first chunk, or even before Python asked for signals
        return 0
    assert code == CODES[number], said
    assert left <= {"latents_cut.npy", "report.json", "video_cut.mp4"}, left
    report = json.loads((out / "report.json").read_text())
    chunks = len(report["chunks"])
    assert report["cut"] and f"cut after {chunks} chunks" in said
    assert np.load(out / "latents_cut.npy").shape[1] in (3 * chunks, 3 * chunks + 3)
    assert 3 * chunks <= len(read_video(out / "video_cut.mp4")[0]) <= 3 * chunks + 3
    return chunks


@pytest.mark.slow
def test_a_rollout_may_be_killed_at_any_moment(tmp_path):
    """Thirty moments from the start to some way into the rollout, a third of them for each signal."""
    draw = random.Random(15)
    usual = seconds_until_the_first_chunk(tmp_path / "measured")
    kept = []
    for moment in range(MOMENTS):
        number = list(CODES)[moment % 3]
        out = tmp_path / f"out_{moment}"
        command = [sys.executable, "-c", RUN, *LONG, "--out", str(out)]
        with subprocess.Popen(
            command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment()
        ) as child:
            time.sleep(draw.uniform(0.2, 1.5) * usual)
            os.kill(child.pid, number)
            said = child.communicate(timeout=300)[1]
        assert child.returncode != 0 and "Traceback" not in said.partition("\nterminated")[0], said
        chunks = check_what_is_left(out, number, child.returncode, said)
        kept.append((number.name, chunks, re.sub(r".*\r", "", said)[-60:]))
    print(*kept, sep="\n")
    assert any(chunks for _, chunks, _ in kept)
