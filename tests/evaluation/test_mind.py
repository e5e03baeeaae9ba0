"""MIND's folder layout: names, lengths, and what its scripts read."""

import json

import numpy as np
import pytest

from tests.evaluation.panorama import there_and_back, world
from worldkv_jax.evaluation import export_memory_test, export_mirror_test
from worldkv_jax.media.video import read_video


def test_memory_test_starts_at_the_mark(tmp_path):
    frames, _ = world(there_and_back())
    export_memory_test(tmp_path, "mine", "data-1", frames, fps=24, mark=10, truth=frames)
    video, fps = read_video(tmp_path / "mine/1st_data/mem_test/data-1/video.mp4")
    truth, _ = read_video(tmp_path / "MIND-Data/1st_data/test/mem_test/data-1/video.mp4")
    described = json.loads((tmp_path / "MIND-Data/1st_data/test/mem_test/data-1/action.json").read_text())
    assert len(video) == 31 and len(truth) == 41 and fps == 24
    assert (described["mark_time"], described["total_time"]) == (10, 41)
    assert np.abs(video.astype(float) - truth[10:]).mean() < 4  # of 255: both went through the encoder


def test_mirror_test_wants_a_way_back(tmp_path):
    way = np.arange(0, 30, 3)
    frames, poses = world([*way, *way[::-1]])
    export_mirror_test(tmp_path, "mine", "room", [frames, frames], [poses, poses], fps=12, perspective="3rd_data")
    folder = tmp_path / "mine/3rd_data/mirror_test/room"
    assert sorted(path.name for path in folder.iterdir()) == ["path-1.mp4", "path-2.mp4"]
    with pytest.raises(ValueError, match=r"path 1 has 19 frames and 19 poses; MIND halves it"):
        export_mirror_test(tmp_path, "mine", "room", [frames[1:]], [poses[1:]], fps=12)
    with pytest.raises(ValueError, match=r"path 2 does not go back as it came: .* 27\.00 degrees"):
        export_mirror_test(tmp_path, "mine", "room", [frames] * 2, [poses, np.roll(poses, 5, axis=0)], fps=12)


def test_errors_say_what_is_wrong(tmp_path):
    frames, _ = world([0, 3, 6])
    with pytest.raises(ValueError, match="mark=3 is outside the video of 3 frames"):
        export_memory_test(tmp_path, "mine", "a", frames, fps=24, mark=3)
    with pytest.raises(ValueError, match="the truth has 2 frames, the video 3"):
        export_memory_test(tmp_path, "mine", "a", frames, fps=24, mark=0, truth=frames[:2])
    with pytest.raises(ValueError, match="unknown perspective '2nd_data'"):
        export_memory_test(tmp_path, "mine", "a", frames, fps=24, mark=0, perspective="2nd_data")
    assert not list(tmp_path.iterdir())
