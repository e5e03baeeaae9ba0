"""Rotations: projection, mean and angle, on the host and under jit and vmap."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from worldkv_jax.cameras import mean_rotation, nearest_rotation, rotation_angle

seeds = st.integers(0, 2**32 - 1)


def random_rotations(seed, *shape):
    count = int(np.prod(shape))
    return Rotation.random(count, rng=np.random.default_rng(seed)).as_matrix().reshape(*shape, 3, 3)


@given(seeds)
def test_nearest_rotation_leaves_rotations_and_undoes_small_noise(seed):
    rotations = random_rotations(seed, 4)
    np.testing.assert_allclose(nearest_rotation(rotations), rotations, atol=1e-12)
    noisy = rotations + np.random.default_rng(seed).normal(scale=1e-3, size=rotations.shape)
    assert (rotation_angle(nearest_rotation(noisy), rotations) < 1e-2).all()


@given(seeds)
def test_nearest_rotation_is_a_rotation_even_for_a_mirrored_matrix(seed):
    matrices = np.random.default_rng(seed).normal(size=(8, 3, 3))
    projected = nearest_rotation(matrices)
    np.testing.assert_allclose(projected.swapaxes(1, 2) @ projected, np.broadcast_to(np.eye(3), (8, 3, 3)), atol=1e-9)
    np.testing.assert_allclose(np.linalg.det(projected), 1.0, atol=1e-9)


@given(seeds)
def test_mean_of_identical_rotations_is_that_rotation(seed):
    rotation = random_rotations(seed, 1)[0]
    mean = mean_rotation(np.stack([rotation] * 3))
    np.testing.assert_allclose(mean, rotation, atol=1e-12)


@given(seeds, st.floats(-1.0, 1.0))
def test_mean_of_a_steady_turn_is_its_middle(seed, angle):
    middle = random_rotations(seed, 1)[0]
    turn = Rotation.from_rotvec(np.array([[-angle], [0.0], [angle]]) * [0.6, 0.0, 0.8]).as_matrix()
    np.testing.assert_allclose(mean_rotation(middle @ turn), middle, atol=1e-9)


def test_mean_averages_over_the_axis_asked_for():
    rotations = random_rotations(0, 5, 3)
    expected = np.stack([mean_rotation(rows) for rows in rotations])
    np.testing.assert_allclose(mean_rotation(rotations, axis=1), expected, atol=1e-12)
    np.testing.assert_allclose(mean_rotation(rotations, axis=-3), expected, atol=1e-12)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-4, 0.5, np.pi / 2, np.pi - 1e-9, np.pi])
def test_angle_is_exact_near_zero_and_pi(angle):
    start = random_rotations(1, 1)[0]
    end = start @ Rotation.from_rotvec(angle * np.array([0.0, 0.6, 0.8])).as_matrix()
    np.testing.assert_allclose(rotation_angle(start, end), angle, atol=1e-15, rtol=1e-6)


@given(seeds)
def test_angle_to_itself_is_exactly_zero(seed):
    rotations = jnp.asarray(random_rotations(seed, 6), jnp.float32)
    assert (rotation_angle(rotations, rotations) == 0).all()


@given(seeds)
def test_angle_is_symmetric_and_does_not_depend_on_the_world_frame(seed):
    a, b, world = random_rotations(seed, 3)
    np.testing.assert_allclose(rotation_angle(a, b), rotation_angle(b, a), atol=1e-12)
    np.testing.assert_allclose(rotation_angle(world @ a, world @ b), rotation_angle(a, b), atol=1e-9)


def test_jit_and_vmap_agree_with_the_host():
    rotations = random_rotations(2, 7, 3)
    on_device = jnp.asarray(rotations, jnp.float32)
    host = mean_rotation(rotations, axis=1)
    jitted = jax.jit(mean_rotation, static_argnames="axis")(on_device, axis=1)
    mapped = jax.vmap(mean_rotation)(on_device)
    assert mean_rotation(on_device.astype(jnp.bfloat16), axis=1).dtype == jnp.float32
    assert jitted.dtype == jnp.float32 and isinstance(host, np.ndarray) and host.dtype == np.float64
    np.testing.assert_allclose(jitted, host, atol=1e-6)
    np.testing.assert_allclose(mapped, host, atol=1e-6)
    np.testing.assert_allclose(
        jax.jit(rotation_angle)(on_device[0], on_device[1]), rotation_angle(*rotations[:2]), atol=1e-6
    )


def test_the_mean_of_one_rotation_is_itself():
    """Chunks of one frame: a decomposition in every step would be a call of LAPACK for each world."""
    rotation = nearest_rotation(np.random.default_rng(0).normal(size=(3, 3)))
    np.testing.assert_array_equal(mean_rotation(rotation[None]), rotation)
    assert "svd" in str(jax.make_jaxpr(mean_rotation)(jnp.zeros((2, 3, 3))))
    assert "svd" not in str(jax.make_jaxpr(mean_rotation)(jnp.zeros((1, 3, 3))))


def test_angles_to_many_rotations_are_one_loop():
    """A sum over an axis of three would be a kernel of its own on a CPU, slower than all else that recalls a chunk."""
    rotations = jnp.asarray(random_rotations(3, 40, 8), jnp.float32)
    assert "reduce" not in str(jax.make_jaxpr(rotation_angle)(rotations, rotations[:1]))
