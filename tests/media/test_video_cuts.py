"""Videos that end early: nothing that was appended is lost, and nothing is left that is not named for what it is."""

import contextlib
import os
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from worldkv_jax.media import read_video, write_video, writing_video

FRAMES = np.random.default_rng(0).integers(0, 256, (30, 32, 48, 3), np.uint8)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, RuntimeError])
def test_what_was_appended_is_kept(tmp_path, kind):
    with pytest.raises(kind), writing_video(tmp_path / "video.mp4", fps=8, keep_cut=True) as video:
        video(FRAMES[:20])
        video(FRAMES[20:21])
        raise kind
    assert os.listdir(tmp_path) == ["video_cut.mp4"]
    assert (video.path, video.cut, video.frames) == (tmp_path / "video_cut.mp4", True, 21)
    assert len(read_video(video.path)[0]) == 21


def test_a_video_that_ends_well_is_whole(tmp_path):
    with writing_video(tmp_path / "video.mp4", fps=8, keep_cut=True) as video:
        video(FRAMES)
    assert (video.path, video.cut, video.frames) == (tmp_path / "video.mp4", False, 30)
    assert os.listdir(tmp_path) == ["video.mp4"]


def test_neither_the_older_video_nor_an_older_cut_is_replaced(tmp_path):
    older = write_video(tmp_path / "video.mp4", FRAMES, fps=8).read_bytes()
    for name in ("video_cut.mp4", "video_cut_2.mp4"):
        with pytest.raises(KeyboardInterrupt), writing_video(tmp_path / "video.mp4", fps=8, keep_cut=True) as video:
            video(FRAMES[:5])
            raise KeyboardInterrupt
        assert video.path.name == name
    assert (tmp_path / "video.mp4").read_bytes() == older


def test_without_frames_there_is_nothing_to_keep(tmp_path):
    with pytest.raises(KeyboardInterrupt), writing_video(tmp_path / "a.mp4", fps=8, keep_cut=True) as video:
        raise KeyboardInterrupt
    assert video.path is None and not os.listdir(tmp_path)


def test_an_impatient_second_interrupt_loses_the_end_at_most(tmp_path, monkeypatch):
    from worldkv_jax.media import encoder

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    with pytest.raises(RuntimeError), writing_video(tmp_path / "a.mp4", fps=2, keep_cut=True) as video:
        for _ in range(8):
            video(FRAMES)
        (draft,) = tmp_path.iterdir()
        while draft.stat().st_size < 100_000:  # until the first pieces are written
            time.sleep(0.02)
        monkeypatch.setattr(encoder.Encoder, "close", interrupt)
        raise RuntimeError
    assert os.listdir(tmp_path) == ["a_cut.mp4"]
    assert len(read_video(video.path, limit=10, tell=lambda _: None)[0]) == 10


def test_a_full_disk_leaves_what_fitted(tmp_path):
    """A limit of the size of files stands for the disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
    try:
        with pytest.raises(OSError, match="encoding 48x32 video failed"):  # noqa: SIM117
            with writing_video(tmp_path / "video.mp4", fps=8, keep_cut=True) as video:
                for _ in range(40):
                    video(FRAMES)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(tmp_path) == ["video_cut.mp4"] and video.path.stat().st_size <= 300_000
    assert len(read_video(video.path, limit=20, tell=lambda _: None)[0]) == 20


_ENDLESS = """
import signal, sys, numpy as np
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs ignore
from worldkv_jax.media import writing_video
with writing_video(sys.argv[1], fps=8, keep_cut=True) as video:
    for i in range(100000):
        video(np.random.default_rng(i).integers(0, 256, (10, 32, 48, 3), np.uint8))
        if i == 20: print("going", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_process_that_is_killed_leaves_a_video_that_plays(tmp_path, number):
    """Ctrl-C reaches the whole group; after SIGKILL the encoder ends the draft by itself."""
    command = [sys.executable, "-c", _ENDLESS, str(tmp_path / "video.mp4")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    assert process.stdout.readline() == b"going\n"
    os.killpg(process.pid, number)
    process.communicate(timeout=300)
    (name,) = os.listdir(tmp_path)
    assert name == "video_cut.mp4" if number == signal.SIGINT else name.startswith("video.draft-")
    deadline, frames = time.monotonic() + 300, ()
    while len(frames) <= 100 and time.monotonic() < deadline:
        with contextlib.suppress(ValueError):  # the encoder is still at it, and what is there may be played already
            frames = read_video(tmp_path / name)[0]
        time.sleep(0.1)
    assert len(frames) > 100
