"""Checks of poses: what passes, what is refused, and what the messages say."""

import numpy as np
import pytest

from worldkv_jax.cameras import nearest_rigid, pose_from_angles, validate_poses


@pytest.fixture
def poses():
    return pose_from_angles(np.arange(20.0), 5.0, np.arange(60.0).reshape(20, 3))


def test_rigid_poses_pass_in_any_float_type(poses):
    assert validate_poses(poses).dtype == np.float64
    validate_poses(poses.astype(np.float32))
    rounded = poses.astype(np.float16)
    np.testing.assert_array_equal(validate_poses(rounded), rounded)


@pytest.mark.parametrize(
    ("shape", "advice"),
    [
        ((4, 4), "poses[None]"),
        ((20, 3, 4), "append the row (0, 0, 0, 1)"),
        ((20, 16), "poses.reshape(-1, 4, 4)"),
        ((20, 12), "poses.reshape(-1, 3, 4)"),
        ((20, 7), "positions and quaternions"),
        ((1, 81, 4, 4), "take the first axis off: poses[0]"),
        ((2, 81, 4, 4), "choose one of (2,) paths: poses[0]"),
        ((0, 4, 4), "no frames"),
    ],
)
def test_wrong_shapes_come_with_advice(shape, advice):
    with pytest.raises(ValueError, match="poses: got") as caught:
        validate_poses(np.zeros(shape))
    assert advice in str(caught.value)


def test_what_is_no_array_of_numbers_is_refused():
    with pytest.raises(ValueError, match="path: not an array of numbers"):
        validate_poses([[1, 2], [3]], name="path")


def test_the_frame_and_entry_that_is_not_finite_is_named(poses):
    poses[17, 1, 3] = np.nan
    poses[19, 0, 0] = np.inf
    with pytest.raises(ValueError, match=r"track\[17\]: entry \(1, 3\) is nan.*2 of 20 frames"):
        validate_poses(poses, name="track")


def test_row_vector_matrices_are_told_apart(poses):
    with pytest.raises(ValueError, match=r"poses\[0\]: last row is .*transpose"):
        validate_poses(poses.swapaxes(1, 2))


def test_a_rotation_that_is_not_orthonormal_is_named_with_its_defect(poses):
    poses[17, :3, :3] *= 1.1
    with pytest.raises(
        ValueError, match=r"poses\[17\]: rotation is not orthonormal \(max .* = 0\.21, tolerance 0\.001\)"
    ):
        validate_poses(poses)
    np.testing.assert_allclose(nearest_rigid(poses)[17], pose_from_angles(17.0, 5.0, poses[17, :3, 3]), atol=1e-12)


def test_mirrored_axes_are_refused_and_not_projected(poses):
    poses[3, :3, 0] *= -1
    for check in (validate_poses, nearest_rigid):
        with pytest.raises(ValueError, match=r"poses\[3\]: determinant is -1, expected \+1"):
            check(poses)


def test_nearest_rigid_mends_what_validation_refuses(poses):
    noisy = poses + np.random.default_rng(0).normal(scale=0.01, size=poses.shape)
    mended = nearest_rigid(noisy)
    validate_poses(mended)
    np.testing.assert_array_equal(mended[:, :3, 3], noisy[:, :3, 3])
    np.testing.assert_allclose(nearest_rigid(poses), poses, atol=1e-12)
