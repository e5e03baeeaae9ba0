"""Reading video files: each frame once, exact rates, nothing cut unseen, no more memory than is asked for."""

import subprocess

import imageio_ffmpeg
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worldkv_jax.media import read_video, write_video

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()


def grey_levels(count, height=16, width=24):
    """Frames that can be told apart by how bright they are."""
    levels = np.linspace(0, 1, count)[:, None, None, None]
    return np.broadcast_to(levels, (count, height, width, 3))


def spans_of(path, filters):
    """Write a video of 12 frames whose time stamps a filter has changed."""
    frames = (grey_levels(12) * 255).astype(np.uint8)
    command = [FFMPEG, "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "24x16", "-r", "30", "-i", "-"]
    command += ["-vf", filters, "-fps_mode", "passthrough", "-c:v", "libx264", "-crf", "1", "-y", str(path)]
    subprocess.run(command, input=frames.tobytes(), check=True)
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_of_a_varying_rate_each_frame_is_read_once(tmp_path, suffix):
    """Frames were repeated and dropped to even the rate out: 17 of 12, four of them missing."""
    path = spans_of(tmp_path / f"a{suffix}", "setpts='if(lt(N,6),N,6*N-30)/30/TB'")
    said = []
    frames, fps = read_video(path, tell=said.append)
    assert len(frames) == 12 and (np.diff(frames.mean(axis=(1, 2, 3))) > 10).all()
    assert fps == pytest.approx(11 / (36 / 30), rel=0.01)
    assert "not evenly spaced in time; all 12 are used" in said[0]


@pytest.mark.parametrize("fps", [23.976, 24000 / 1001, 30000 / 1001, 29.97, 12.5, 7, 1000, 0.5])
def test_rates_are_exact(tmp_path, fps):
    assert read_video(write_video(tmp_path / "a.mp4", grey_levels(5), fps=fps))[1] == pytest.approx(fps, rel=1e-9)


def test_reading_stops_at_a_limit(tmp_path):
    path = write_video(tmp_path / "a.mp4", grey_levels(60), fps=8)
    said = []
    frames, fps = read_video(path, limit=7, tell=said.append)
    assert len(frames) == 7 and fps == 8 and said == [f"{path} has more than 7 frames; the first 7 are used"]
    assert len(read_video(path, limit=60)[0]) == 60


def test_a_long_video_takes_the_memory_of_its_limit(tmp_path):
    """4,000 frames took 2.2 GB for the 0.16 GB that are used."""
    import tracemalloc

    path = write_video(tmp_path / "a.mp4", grey_levels(400, 64, 96), fps=8)
    tracemalloc.start()
    frames, _ = read_video(path, limit=100, tell=lambda _: None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.5 * frames.nbytes


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("whole") / "a.mp4", grey_levels(200), fps=8).read_bytes()


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0.0, 0.999))
def test_a_cut_video_is_never_read_as_a_shorter_one(tmp_path, whole, share):
    """The encoder's exit status says nothing of it: 90 % of a file gave 85 % of its frames."""
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match=r"cut\.mp4 cannot be read as a video"):
        read_video(path)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_is_named_or_harmless(tmp_path, whole, data):
    content = bytearray(whole)
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=8)):
        content[place] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.mp4"
    path.write_bytes(content)
    try:
        assert read_video(path, tell=lambda _: None)[0].shape[1:] == (16, 24, 3)
    except ValueError as error:
        assert "damaged.mp4" in str(error)


def test_a_playlist_leads_to_no_other_place(tmp_path):
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\nhttp://localhost:9/a.ts\n")
    with pytest.raises(ValueError, match=r"list\.m3u8 cannot be read"):
        read_video(tmp_path / "list.m3u8")


@pytest.mark.parametrize("name", ["2026-11-28T12:30:05", "-y", "a%03d b", "ünï 'quote\" $x", "pipe:1", "new\nline"])
def test_any_file_name(tmp_path, monkeypatch, name):
    """ffmpeg takes what stands before a colon for a protocol, and what begins with a hyphen for an option."""
    monkeypatch.chdir(tmp_path)
    path = write_video(f"{name}/{name}.mp4", grey_levels(3), fps=8)
    assert len(read_video(path)[0]) == 3


def test_colours_are_tagged(tmp_path):
    """Primaries and transfer were unknown, and there was no colr box."""
    path = write_video(tmp_path / "a.mp4", grey_levels(3), fps=8)
    said = subprocess.run([FFMPEG, "-hide_banner", "-i", str(path)], capture_output=True, text=True).stderr
    assert "yuv420p(tv, bt709, progressive)" in said  # all three of one name
    assert b"colrnclx\0\1\0\1\0\1" in path.read_bytes()
