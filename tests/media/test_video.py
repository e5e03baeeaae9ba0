"""Video files: what is written comes back, nothing half-written stays, errors say what to do."""

import numpy as np
import pytest

from worldkv_jax.media import encoder, read_video, write_video, writing_video


def pattern(count=6, height=16, width=24):
    """Smooth colours that change over time, which compression keeps well."""
    t, y, x = np.ogrid[0 : 1 : count * 1j, 0 : 1 : height * 1j, 0 : 1 : width * 1j]
    channels = (x + 0 * t + 0 * y, y + 0 * t + 0 * x, t + 0 * y + 0 * x)
    return np.stack(channels, axis=-1).astype(np.float32)


def test_what_is_written_comes_back(tmp_path):
    frames = pattern()
    path = write_video(tmp_path / "new folder" / "video.mp4", frames, fps=12, scale=8)
    decoded, fps = read_video(path)
    assert decoded.dtype == np.uint8 and decoded.shape == (6, 128, 192, 3) and fps == 12
    cells = decoded.reshape(6, 16, 8, 24, 8, 3).mean(axis=(2, 4)) / 255
    assert np.abs(cells - frames).mean() < 0.01
    assert [entry.name for entry in path.parent.iterdir()] == ["video.mp4"]


def test_bytes_and_floats_give_the_same_file(tmp_path):
    frames = pattern()
    a = write_video(tmp_path / "a.mp4", frames, fps=8)
    b = write_video(tmp_path / "b.mp4", np.rint(frames * 255).astype(np.uint8), fps=8)
    assert a.read_bytes() == b.read_bytes()


def test_colours_are_kept(tmp_path):
    """A wrong matrix (BT.601 read as BT.709) would shift these by up to 30 grey levels."""
    colours = np.array([[0.9, 0.1, 0.1], [0.1, 0.8, 0.2], [0.1, 0.2, 0.9]])
    frames = np.broadcast_to(colours[:, None, None], (3, 32, 32, 3))
    decoded, _ = read_video(write_video(tmp_path / "video.mp4", frames, fps=5))
    np.testing.assert_allclose(decoded.mean(axis=(1, 2)) / 255, colours, atol=0.02)


def test_odd_sides_and_fractional_rates(tmp_path):
    decoded, fps = read_video(write_video(tmp_path / "video.mp4", pattern(3, 15, 17), fps=29.97))
    assert decoded.shape == (3, 16, 18, 3) and fps == 29.97


@pytest.mark.parametrize(
    ("change", "keywords", "message"),
    [
        (lambda f: f[:0], {}, "holds no pixels; give at least one frame"),
        (lambda f: f[0], {}, r"expected \[n, height, width, 3\]"),
        (lambda f: f * 255, {}, r"span \[0, 255\], expected \[0, 1\]"),
        (lambda f: f.astype(np.int64), {}, "got int64, expected floats"),
        (lambda f: f + np.inf, {}, "not finite"),
        (lambda f: f, {"fps": 0}, "fps=0"),
        (lambda f: f, {"scale": 0}, "scale=0"),
        (lambda f: f, {"scale": 1.5}, "scale=1.5"),
    ],
)
def test_invalid_frames_are_refused_before_a_file_appears(tmp_path, change, keywords, message):
    with pytest.raises(ValueError, match=message):
        write_video(tmp_path / "video.mp4", change(pattern()), **{"fps": 8, **keywords})
    assert not list(tmp_path.iterdir())


def test_other_suffixes_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"written as \.mp4, got \.gif"):
        write_video(tmp_path / "video.gif", pattern(), fps=8)


def test_a_failing_encoder_leaves_the_older_file(tmp_path, monkeypatch):
    path = tmp_path / "video.mp4"
    path.write_bytes(b"older")
    monkeypatch.setattr(encoder, "_ENCODER", ("-c:v", "no_such_codec"))
    with pytest.raises(OSError, match=r"encoding 24x16 video failed .*no_such_codec"):
        write_video(path, pattern(), fps=8)
    assert path.read_bytes() == b"older" and list(tmp_path.iterdir()) == [path]


def test_an_interrupt_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(frame):
        raise KeyboardInterrupt

    monkeypatch.setattr(encoder, "_pad_to_even", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_video(tmp_path / "video.mp4", pattern(), fps=8)
    assert not list(tmp_path.iterdir())


def test_a_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(NotADirectoryError, match="taken is a file; remove it or choose another folder"):
        write_video(tmp_path / "taken" / "deeper" / "video.mp4", pattern(), fps=8)
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(IsADirectoryError, match=r"folder\.mp4: it is a folder"):
        write_video(tmp_path / "folder.mp4", pattern(), fps=8)


def test_reading_what_is_no_video(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"missing\.mp4 is not there; expected a video file"):
        read_video(tmp_path / "missing.mp4")
    whole = write_video(tmp_path / "video.mp4", pattern(), fps=8).read_bytes()
    for name, content in (("text.mp4", b"hello"), ("empty.mp4", b""), ("cut.mp4", whole[: len(whole) // 2])):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name} cannot be read as a video"):
            read_video(tmp_path / name)


def test_frames_that_come_in_parts_make_the_same_video(tmp_path):
    frames = np.random.default_rng(0).uniform(size=(5, 16, 24, 3)).astype(np.float32)
    whole = write_video(tmp_path / "whole.mp4", frames, fps=8)
    with writing_video(tmp_path / "parts.mp4", fps=8) as append:
        append(frames[:2])
        append(frames[2:])
        assert not (tmp_path / "parts.mp4").exists()
    assert (tmp_path / "parts.mp4").read_bytes() == whole.read_bytes()


def test_a_video_that_cannot_be_finished_leaves_nothing(tmp_path):
    frames = np.zeros((2, 16, 24, 3), np.uint8)
    with pytest.raises(RuntimeError, match="stopped"), writing_video(tmp_path / "a.mp4", fps=8) as append:
        append(frames)
        raise RuntimeError("stopped")
    with pytest.raises(ValueError, match="frames of 16x16 in a video of 24x16"):  # noqa: SIM117
        with writing_video(tmp_path / "a.mp4", fps=8) as append:
            append(frames)
            append(frames[:, :, :16])
    with pytest.raises(ValueError, match="no frames were given"), writing_video(tmp_path / "a.mp4", fps=8):
        pass
    assert not list(tmp_path.iterdir())
