"""Sizes and lengths of a video of LingBot-World."""

import pytest

from ports.lingbot_world.size import latent_size, rollout_length


def test_a_picture_of_480_by_832_loses_two_rows():
    assert latent_size((480, 832), 480 * 832) == (58, 104)
    assert latent_size((832, 480), 480 * 832) == (104, 60)


@pytest.mark.parametrize(("size", "area"), [((480, 832), 100), ((1, 5000), 480 * 832)])
def test_pictures_that_are_too_small(size, area):
    with pytest.raises(ValueError, match="expected at least 2 x 2"):
        latent_size(size, area)


def test_lengths():
    length = rollout_length(360, 360)
    assert (length.poses, length.latents, length.frames, length.chunks) == (357, 90, 357, 30)
    assert rollout_length(81).latents == 21
    assert rollout_length(1000, 140).frames == 129


@pytest.mark.parametrize(("frames", "poses"), [(8, 50), (50, 8), (1, 1)])
def test_less_than_a_chunk(frames, poses):
    with pytest.raises(ValueError, match="less than a chunk of 3 latent frames; give at least 9"):
        rollout_length(frames, poses)
