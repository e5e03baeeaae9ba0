"""Poses: constructors, inverse, relative poses, resampling, distance."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from worldkv_jax import cameras

seeds = st.integers(0, 2**32 - 1)


def random_poses(seed, count):
    rng = np.random.default_rng(seed)
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, :3, :3] = Rotation.random(count, rng=rng).as_matrix()
    poses[:, :3, 3] = rng.normal(scale=3.0, size=(count, 3))
    return poses


def test_angles_turn_right_and_look_up():
    forward = cameras.pose_from_angles([0, 90, 0, -90], [0, 0, 90, 0])[:, :3, 2]
    np.testing.assert_allclose(forward, [[0, 0, 1], [1, 0, 0], [0, -1, 0], [-1, 0, 0]], atol=1e-12)
    batch = cameras.pose_from_angles(np.zeros((2, 1)), np.arange(5.0), np.ones((2, 5, 3)))
    assert batch.shape == (2, 5, 4, 4)
    cameras.validate_poses(batch.reshape(-1, 4, 4))


@given(seeds)
def test_look_at_puts_the_target_in_the_middle_with_up_upwards(seed):
    position, target = np.random.default_rng(seed).normal(size=(2, 3))
    pose = cameras.look_at(position, target)
    cameras.validate_poses(pose[None])
    x, y, z = (cameras.inverse(pose) @ [*target, 1])[:3]
    np.testing.assert_allclose([x, y, z], [0, 0, np.linalg.norm(target - position)], atol=1e-9)
    assert pose[1, 1] > 0 and abs(pose[1, 0]) < 1e-12  # no roll: image down is down, image right is level


@pytest.mark.parametrize("target", [(0, 0, 0), (0, -2, 0)])
def test_look_at_refuses_a_view_without_a_right_side(target):
    with pytest.raises(ValueError, match="no right side"):
        cameras.look_at((0, 0, 0), target)


@given(seeds)
def test_inverse_round_trip(seed):
    poses = random_poses(seed, 5)
    np.testing.assert_allclose(cameras.inverse(poses) @ poses, np.tile(np.eye(4), (5, 1, 1)), atol=1e-12)
    np.testing.assert_allclose(cameras.inverse(cameras.inverse(poses)), poses, atol=1e-12)


@given(seeds)
def test_relative_poses_do_not_depend_on_the_world_frame(seed):
    poses, world = random_poses(seed, 6), random_poses(seed + 1, 1)
    for framewise in (False, True):
        relative = cameras.relative_to_first(poses, framewise)
        np.testing.assert_allclose(cameras.relative_to_first(world @ poses, framewise), relative, atol=1e-9)
        np.testing.assert_array_equal(relative[0], np.eye(4))


@given(seeds)
def test_framewise_steps_multiply_to_the_path(seed):
    poses = random_poses(seed, 6)
    path = np.eye(4)
    for step, expected in zip(cameras.relative_to_first(poses, framewise=True), cameras.relative_to_first(poses)):
        path = path @ step
        np.testing.assert_allclose(path, expected, atol=1e-9)


@given(seeds, st.booleans())
def test_normalised_translations_reach_one_and_a_given_scale_does_the_same(seed, framewise):
    poses = random_poses(seed, 6)
    plain = cameras.relative_to_first(poses, framewise)
    normal = cameras.relative_to_first(poses, framewise, normalize=True)
    np.testing.assert_allclose(np.linalg.norm(normal[:, :3, 3], axis=-1).max(), 1.0)
    scaled = cameras.relative_to_first(poses, framewise, scale=cameras.translation_scale(plain))
    np.testing.assert_array_equal(scaled, normal)
    np.testing.assert_array_equal(normal[:, :3, :3], plain[:, :3, :3])


def test_noise_of_a_still_camera_is_not_scaled_up():
    poses = np.tile(np.eye(4), (4, 1, 1))
    poses[1:, 0, 3] = 1e-8
    assert np.abs(cameras.relative_to_first(poses, normalize=True)[:, :3, 3]).max() <= 1e-8


@pytest.mark.parametrize("scale", [0.0, -1.0, np.nan, np.inf])
def test_a_scale_must_be_positive(scale):
    with pytest.raises(ValueError, match="is not a positive number of scene units"):
        cameras.relative_to_first(random_poses(0, 3), scale=scale)


@given(seeds, st.integers(1, 9), st.integers(1, 20))
def test_interpolation_keeps_poses_rigid_and_ends_in_place(seed, count, samples):
    poses = random_poses(seed, count)
    got = cameras.latent_poses(poses, samples)
    assert got.shape == (samples, 4, 4) and got.dtype == np.float64
    cameras.validate_poses(got)
    np.testing.assert_allclose(got[0], poses[0], atol=1e-5)
    if samples > 1:
        np.testing.assert_allclose(got[-1], poses[-1], atol=1e-5)


@given(seeds)
def test_interpolation_goes_half_way_by_the_shorter_arc(seed):
    poses = random_poses(seed, 2)
    middle = cameras.interpolate(poses, [0, 2], [1])[0]
    np.testing.assert_allclose(middle[:3, 3], poses[:, :3, 3].mean(0), atol=1e-5)
    whole = cameras.rotation_angle(poses[0, :3, :3], poses[1, :3, :3])
    for end in poses:
        np.testing.assert_allclose(cameras.rotation_angle(end[:3, :3], middle[:3, :3]), whole / 2, atol=1e-5)


@pytest.mark.parametrize(
    ("times", "targets", "message"),
    [
        ([0, 1], [0], r"times has shape \(2,\), expected \(3,\)"),
        ([0, 2, 2], [0], "strictly increasing"),
        ([0, 1, np.nan], [0], "strictly increasing"),
        ([0, 1, 2], [3], r"span \[3, 3\], outside the path's \[0, 2\]"),
        ([0, 1, 2], [np.nan], "expected finite times"),
        ([0, 1, 2], 1.0, "expected finite times"),
    ],
)
def test_interpolation_says_what_is_wrong_with_the_times(times, targets, message):
    with pytest.raises(ValueError, match=message):
        cameras.interpolate(random_poses(0, 3), times, targets)


def test_a_video_has_at_least_one_latent_frame():
    with pytest.raises(ValueError, match="latent_frames=0"):
        cameras.latent_poses(random_poses(0, 3), 0)


def test_pose_distance_on_host_and_device():
    poses = random_poses(0, 6).reshape(2, 3, 4, 4)
    distance, angle = cameras.pose_distance(poses[0], poses[1])
    np.testing.assert_allclose(distance, np.linalg.norm(poses[0, :, :3, 3] - poses[1, :, :3, 3], axis=-1))
    np.testing.assert_array_equal(angle, cameras.rotation_angle(poses[0, :, :3, :3], poses[1, :, :3, :3]))
    on_device = jax.jit(cameras.pose_distance)(*jnp.asarray(poses, jnp.float32))
    np.testing.assert_allclose(on_device, (distance, angle), atol=1e-5)


def test_relative_is_the_inverse_product_in_both_libraries():
    rng = np.random.default_rng(5)
    poses = cameras.pose_from_angles(rng.uniform(-180, 180, 6), rng.uniform(-80, 80, 6), rng.normal(size=(6, 3)))
    want = np.linalg.inv(poses[:1]) @ poses
    np.testing.assert_allclose(cameras.relative(poses[:1], poses), want, atol=1e-12)
    got = jax.jit(cameras.relative)(jnp.asarray(poses[:1], jnp.float32), jnp.asarray(poses, jnp.float32))
    np.testing.assert_allclose(got, want, atol=1e-6)
