"""Rays and their packing: geometry, layout, host and device."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from worldkv_jax import cameras

SIZE = (16, 24)
INTRINSICS = (20.0, 18.0, 12.5, 8.5)


@pytest.fixture
def poses():
    rng = np.random.default_rng(0)
    return cameras.pose_from_angles(rng.uniform(-90, 90, 3), rng.uniform(-30, 30, 3), rng.normal(size=(3, 3)))


def test_a_point_on_a_ray_projects_back_to_its_pixel_centre(poses):
    rays = cameras.rays(poses, INTRINSICS, SIZE)
    assert rays.shape == (3, *SIZE, 6) and rays.dtype == np.float32
    points = rays[..., :3] + 2.5 * rays[..., 3:]
    local = points.reshape(3, -1, 3) - poses[:, None, :3, 3]
    x, y, z = np.moveaxis(local @ poses[:, :3, :3], -1, 0)
    fx, fy, cx, cy = INTRINSICS
    column, row = np.meshgrid(np.arange(SIZE[1]) + 0.5, np.arange(SIZE[0]) + 0.5)
    np.testing.assert_allclose(fx * x / z + cx, np.tile(column.ravel(), (3, 1)), atol=1e-4)
    np.testing.assert_allclose(fy * y / z + cy, np.tile(row.ravel(), (3, 1)), atol=1e-4)


def test_directions_are_unit_and_the_middle_pixel_looks_forward(poses):
    directions = cameras.ray_directions(poses, INTRINSICS, SIZE)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=-1), 1.0, atol=1e-6)
    np.testing.assert_allclose(directions[:, 8, 12], poses[:, :3, 2], atol=1e-6)


def test_every_frame_may_have_its_own_lens(poses):
    lenses = np.array([INTRINSICS]) * [[1.0], [1.1], [0.9]]
    together = cameras.rays(poses, lenses, SIZE)
    apart = [cameras.rays(pose, lens, SIZE) for pose, lens in zip(poses, lenses)]
    np.testing.assert_array_equal(together, np.stack(apart))


def test_packing_puts_pixels_of_a_cell_in_channels():
    maps = np.random.default_rng(0).normal(size=(2, 8, 12, 3))
    packed = cameras.pack_cells(maps, cell=4)
    assert packed.shape == (3 * 16, 2, 2, 3)
    for frame, y, x, component in [(0, 0, 0, 0), (1, 7, 11, 2), (1, 2, 5, 1), (0, 6, 3, 2)]:
        channel = component * 16 + (y % 4) * 4 + x % 4
        assert packed[channel, frame, y // 4, x // 4] == maps[frame, y, x, component]


def test_packing_refuses_sizes_that_do_not_fit():
    with pytest.raises(ValueError, match="12x16 is not a multiple of the cell 8"):
        cameras.pack_cells(np.zeros((1, 12, 16, 3)))


def test_channels_with_actions_replace_the_origins(poses):
    keys = np.array([[1, 0, 0, 0], [0, 1, 0, 1], [0, 0, 0, 0]])
    plain = cameras.camera_channels(poses, INTRINSICS, SIZE)
    acted = cameras.camera_channels(poses, INTRINSICS, SIZE, actions=keys)
    assert plain.shape == (384, 3, 2, 3) and acted.shape == (448, 3, 2, 3)
    np.testing.assert_array_equal(acted[:192], plain[192:])
    np.testing.assert_array_equal(
        acted[192:], np.broadcast_to(np.repeat(keys.T, 64, 0)[..., None, None], (256, 3, 2, 3))
    )
    with pytest.raises(ValueError, match=r"actions has shape \(2, 4\), expected \(3, 4\)"):
        cameras.camera_channels(poses, INTRINSICS, SIZE, actions=keys[:2])


def test_jit_and_vmap_agree_with_the_host(poses):
    host = cameras.camera_channels(poses, INTRINSICS, SIZE)
    on_device = jnp.asarray(poses, jnp.float32)
    jitted = jax.jit(cameras.camera_channels, static_argnums=2)(on_device, jax.device_put(INTRINSICS), SIZE)
    assert isinstance(host, np.ndarray) and jitted.dtype == jnp.float32
    np.testing.assert_allclose(jitted, host, atol=1e-6)
    mapped = jax.vmap(lambda pose: cameras.rays(pose, INTRINSICS, SIZE))(on_device)
    np.testing.assert_allclose(mapped, cameras.rays(poses, INTRINSICS, SIZE), atol=1e-6)
