"""The renderer is a pinhole camera in a box."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ports.demo_world.worlds import rooms
from ports.demo_world.worlds.pinhole import level_poses, pixel_rays
from ports.demo_world.worlds.room_walks import room_walk


@pytest.fixture(scope="module")
def room():
    return jax.tree.map(lambda a: jax.device_put(a[0]), rooms.make_rooms(11, 1))


def test_pixels_show_where_their_rays_end(room):
    poses = level_poses(jnp.array([0.3, 2.5]), jnp.array([[0.2, -0.1], [-0.3, 0.4]]))
    frames = np.asarray(rooms.render(room, poses))
    rays = pixel_rays(rooms.HEIGHT, rooms.WIDTH)
    for frame, row, col in [(0, 16, 24), (0, 1, 2), (0, 30, 40), (1, 14, 5), (1, 31, 47)]:
        np.testing.assert_allclose(
            frames[frame, row, col], _trace(room, np.asarray(poses[frame]), rays[row, col]), atol=1e-4
        )


def _trace(room, pose, ray):
    """Follow one ray to the first of the six planes, in plain float64."""
    direction = pose[:3, :3].astype(np.float64) @ ray
    origin = pose[:3, 3].astype(np.float64)
    half = np.array([rooms.HALF_SIDE, rooms.HALF_HEIGHT, rooms.HALF_SIDE])
    reach = (np.sign(direction) * half - origin) / direction
    axis = int(np.argmin(reach))
    x, y, z = origin + reach[axis] * direction
    if axis == 1:
        if direction[1] < 0:
            return np.asarray(room.surfaces[2])
        blend = 1 / (1 + np.exp(-12 * np.sin(1.5 * np.pi * x) * np.sin(1.5 * np.pi * z)))
        return np.asarray(room.surfaces[0]) * blend + np.asarray(room.surfaces[1]) * (1 - blend)
    if axis == 0:
        along = 0.5 - z / 2 if direction[0] > 0 else 2.5 + z / 2
    else:
        along = 3.5 + x / 2 if direction[2] > 0 else 1.5 - x / 2
    u, v = along * 64 - 0.5, np.clip((y / half[1] * 0.5 + 0.5) * 48 - 0.5, 0, 46.999)
    i, j, a, b = int(np.floor(u)), int(np.floor(v)), u - np.floor(u), v - np.floor(v)
    walls = np.asarray(room.walls, np.float64)
    upper = walls[j, i % 256] * (1 - a) + walls[j, (i + 1) % 256] * a
    lower = walls[j + 1, i % 256] * (1 - a) + walls[j + 1, (i + 1) % 256] * a
    return upper * (1 - b) + lower * b


def test_a_full_turn_comes_back(room):
    poses = level_poses(jnp.array([0.7, 0.7 + 2 * jnp.pi]), jnp.zeros((2, 2)))
    frames = rooms.render(room, poses)
    np.testing.assert_allclose(frames[0], frames[1], atol=1e-3)


def test_rooms_are_drawn_from_their_seed():
    one, same, other = (rooms.make_rooms(seed, 2) for seed in (5, 5, 6))
    np.testing.assert_array_equal(one.walls, same.walls)
    assert np.abs(one.walls - other.walls).mean() > 0.05
    assert np.abs(one.walls[0] - one.walls[1]).mean() > 0.05
    assert one.walls.min() >= 0 and one.walls.max() <= 1


def test_walks_stay_inside_the_room():
    walk = jax.jit(jax.vmap(lambda key: room_walk(key, 6, jumps=True)))
    poses = np.asarray(walk(jax.random.split(jax.random.key(0), 64)))
    assert np.abs(poses[..., :3, 3]).max() < rooms.HALF_SIDE
    rotations = poses[..., :3, :3]
    np.testing.assert_allclose(
        rotations @ rotations.swapaxes(-1, -2), np.broadcast_to(np.eye(3), rotations.shape), atol=1e-5
    )
