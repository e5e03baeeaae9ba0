"""Intrinsics: rescaling keeps what the camera sees; errors name the row."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldkv_jax.cameras import DEFAULT_INTRINSICS, check_lens, field_of_view, rescale_intrinsics, validate_intrinsics

sides = st.integers(16, 2000)


@given(sides, sides)
def test_a_point_keeps_its_relative_place_in_the_image(height, width):
    fx, fy, cx, cy = rescale_intrinsics(DEFAULT_INTRINSICS, (height, width))
    point = np.array([0.3, -0.2, 1.5])
    place = (fx * point[0] / point[2] + cx) / width, (fy * point[1] / point[2] + cy) / height
    fx, fy, cx, cy = DEFAULT_INTRINSICS
    expected = (fx * point[0] / point[2] + cx) / 832, (fy * point[1] / point[2] + cy) / 480
    np.testing.assert_allclose(place, expected)


@given(sides, sides)
def test_rescaling_keeps_the_field_of_view(height, width):
    rescaled = rescale_intrinsics(DEFAULT_INTRINSICS, (height, width))
    np.testing.assert_allclose(field_of_view(rescaled, (height, width)), field_of_view(DEFAULT_INTRINSICS, (480, 832)))


def test_a_centre_crop_moves_the_principal_point_only():
    whole = rescale_intrinsics(np.tile(DEFAULT_INTRINSICS, (3, 1)), (64, 97))
    cropped = rescale_intrinsics(np.tile(DEFAULT_INTRINSICS, (3, 1)), (64, 97), crop=(60, 80))
    np.testing.assert_allclose(whole - cropped, np.tile([0, 0, 8.5, 2], (3, 1)))


def test_field_of_view_of_a_square_pinhole():
    np.testing.assert_allclose(field_of_view((50, 50, 50, 25), (50, 100)), (90, 2 * np.degrees(np.arctan(0.5))))


@pytest.mark.parametrize(
    ("intrinsics", "message"),
    [
        (np.eye(3), r"got shape \(3, 3\).*take \(K\[0, 0\]"),
        (np.zeros((0, 4)), r"got shape \(0, 4\)"),
        ("fx", "not an array of numbers"),
        ([[1, 1, 0, 0], [1, 0, 0, 0]], r"row 1 is .*fx > 0 and fy > 0"),
        ([1, 1, np.nan, 0], "row 0 is"),
    ],
)
def test_bad_intrinsics_are_refused(intrinsics, message):
    with pytest.raises(ValueError, match=message):
        validate_intrinsics(intrinsics)


@pytest.mark.parametrize("settings", [{"crop": (33, 48)}, {"crop": (0, 48)}, {"original": (0, 832)}])
def test_impossible_sizes_are_refused(settings):
    with pytest.raises(ValueError, match=r"larger than the resized|must be positive"):
        rescale_intrinsics(DEFAULT_INTRINSICS, (32, 48), **settings)


@pytest.mark.parametrize(
    ("lens", "size", "message"),
    [
        ((0.5, 0.866, 0.5, 0.5), (480, 832), "these are shares of its sides"),
        ((415, 415, 240, 416), (480, 832), "cx and cy are swapped"),
        ((415, 415, 416, 240), (832, 480), "cx and cy are swapped, or the height and width"),
        ((415, 415, 900, 240), (480, 832), "expected fx, fy, cx, cy in its pixels"),
        ((415, 415, 500, 240), (832, 480), "cx and cy are swapped, or height and width"),
        ((4, 4, 416, 240), (480, 832), "no lens has such a focal length"),
        ((1e6, 1e6, 416, 240), (480, 832), "no lens has such a focal length"),
    ],
)
def test_a_lens_is_held_against_the_picture(lens, size, message):
    with pytest.raises(ValueError, match=f"row 1 is .*picture of {size[0]}x{size[1]}: .*{message}"):
        check_lens([(*size[::-1], size[1] / 2, size[0] / 2), lens], size)


def test_a_lens_that_fits_is_taken_as_it_is(recwarn):
    for lens, size in ((DEFAULT_INTRINSICS, (480, 832)), ((300, 310, 130, 100), (256, 256))):
        np.testing.assert_array_equal(check_lens(lens, size), lens)
    assert not len(recwarn)
    with pytest.warns(UserWarning, match=r"77% of the width and 75% of the height .* of another size, rescale it"):
        check_lens((640, 640, 640, 360), (480, 832))
