"""Bicubic resizing: PyTorch's numbers, and what holds for any image."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ports.wan.encoders.resize import bicubic

sides = st.integers(1, 40)
several = settings(max_examples=20)


def random_image(height, width, channels=2):
    rng = np.random.default_rng(100 * height + width)
    return rng.uniform(-1, 1, (height, width, channels)).astype(np.float32)


@pytest.mark.parametrize(
    ("row", "resized"),
    [  # torch.nn.functional.interpolate(row, width, mode="bicubic")
        ([0, 1, 0, 2], [-0.0868056, 0.59375, 0.9085647, -0.0127316, 0.90625, 2.1736109]),
        ([0, 1, 0, 2, 5, -3, 1], [0.7962962, 2.0, -2.629631]),
    ],
)
def test_numbers_of_pytorch(row, resized):
    image = np.array(row, np.float32)
    across = bicubic(np.broadcast_to(image[None, :, None], (3, len(row), 1)), 3, len(resized))
    np.testing.assert_allclose(np.asarray(across)[1, :, 0], resized, atol=1e-6)
    down = bicubic(np.broadcast_to(image[:, None, None], (len(row), 3, 1)), len(resized), 3)
    np.testing.assert_allclose(np.asarray(down)[:, 1, 0], resized, atol=1e-6)


@several
@given(sides, sides)
def test_the_same_size_changes_nothing(height, width):
    image = random_image(height, width)
    np.testing.assert_array_equal(bicubic(image, height, width), image)


@several
@given(sides, sides, sides, sides)
def test_one_colour_stays_that_colour(height, width, new_height, new_width):
    image = np.full((height, width, 3), 0.7, np.float32)
    resized = bicubic(image, new_height, new_width)
    assert resized.shape == (new_height, new_width, 3)
    np.testing.assert_allclose(resized, 0.7, atol=1e-6)


@several
@given(sides, sides, sides, sides)
def test_turned_images_give_turned_results(height, width, new_height, new_width):
    image = random_image(height, width)
    resized = bicubic(image, new_height, new_width)
    turned = bicubic(image.swapaxes(0, 1), new_width, new_height)
    np.testing.assert_allclose(np.swapaxes(turned, 0, 1), resized, atol=1e-5)
    mirrored = bicubic(image[::-1, ::-1], new_height, new_width)
    np.testing.assert_allclose(np.asarray(mirrored)[::-1, ::-1], resized, atol=1e-4)


def test_leading_axes_are_images():
    images = np.stack([random_image(5, 7), -random_image(5, 7)])[None]
    resized = np.asarray(bicubic(images, 8, 3))
    assert resized.shape == (1, 2, 8, 3, 2)
    np.testing.assert_allclose(resized[0, 1], -bicubic(random_image(5, 7), 8, 3), atol=1e-6)


def test_empty_result_is_an_error():
    with pytest.raises(ValueError, match="cannot resize 4 samples to 0"):
        bicubic(random_image(4, 4), 0, 3)
