"""Captions: pictures stay as they are below the strip, panels lie in a grid, text changes over time."""

import numpy as np
import pytest

from worldkv_jax.media import label, side_by_side


@pytest.fixture
def frames():
    return np.random.default_rng(0).integers(0, 256, (3, 32, 48, 3), dtype=np.uint8)


def test_the_picture_is_below_the_strip(frames):
    labelled = label(frames, "Full KV", scale=4)
    strip, picture = labelled[:, :-128], labelled[:, -128:]
    np.testing.assert_array_equal(picture, frames.repeat(4, 1).repeat(4, 2))
    assert labelled.shape[2] == 192 and labelled.dtype == np.uint8
    assert strip.max() > 200 and (strip == strip[:1]).all()
    assert (label(frames, "WorldKV", scale=4)[:, :-128] != strip).any()


def test_details_change_over_time(frames):
    strips = label(frames, "WorldKV", detail=["chunk 1", "chunk 22", "chunk 1"], scale=4)[:, :-128]
    assert (strips[0] == strips[2]).all() and (strips[0] != strips[1]).any()
    one_line = label(frames, "WorldKV", scale=4)
    assert strips.shape[1] > one_line.shape[1] - 128


def test_long_text_stays_inside(frames):
    for text in ("a caption that is much too long for so small a picture", "é世界" * 30, ""):
        strip = label(frames, text, detail=text)[:, :-32]
        np.testing.assert_array_equal(strip[:, :, -2:], np.broadcast_to(strip[0, 0, -1], strip[:, :, -2:].shape))


def test_panels_lie_in_a_grid(frames):
    panels = {name: np.full((2, 16, 32, 3), i / 10) for i, name in enumerate("abcde", 1)}
    grid = side_by_side(panels, scale=2, columns=3, details={"b": "second line"})
    assert grid.shape[0] == 2 and grid.dtype == np.uint8 and not (grid.shape[1] % 2 or grid.shape[2] % 2)
    height, width = grid.shape[1] // 2, grid.shape[2] // 3
    for i in range(5):
        cell = grid[0, (i // 3) * height : (i // 3 + 1) * height, (i % 3) * width : (i % 3 + 1) * width]
        share = (cell == round((i + 1) / 10 * 255)).all(axis=-1).sum() / (32 * 64)
        assert 0.9 < share <= 1.1, f"panel {i} is not in its cell"
    assert side_by_side({"a": frames}).shape[0] == 3


def test_errors_say_what_is_wrong(frames):
    with pytest.raises(ValueError, match="no panels"):
        side_by_side({})
    with pytest.raises(ValueError, match="'b' \\(2, 32, 48, 3\\); cut them"):
        side_by_side({"a": frames, "b": frames[:2]})
    with pytest.raises(ValueError, match="unknown panel 'WorldKW'; did you mean 'WorldKV'"):
        side_by_side({"WorldKV": frames}, details={"WorldKW": "?"})
    with pytest.raises(ValueError, match="detail has 2 lines for 3 frames"):
        label(frames, "a", detail=["x", "y"])
    with pytest.raises(ValueError, match="columns=0"):
        side_by_side({"a": frames}, columns=0)
    with pytest.raises(ValueError, match="a: got shape"):
        side_by_side({"a": frames[0]})


@pytest.mark.parametrize("text", ["two\nlines", "\ud800 half a character", "a\0b", "$x_{", "tab\there"])
def test_any_text_can_be_drawn(frames, text):
    assert label(frames, text, detail=text).shape == label(frames, "a", detail="b").shape
