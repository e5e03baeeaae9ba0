"""Cameras chunk by chunk give what the released code computes from the whole path."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ports.lingbot_world.camera import Lens, camera_cells, make_lens, motion_scale, steps
from worldkv_jax.cameras import camera_channels, pose_from_angles, relative_to_first, rescale_intrinsics, trajectory

SIZE = (32, 48)


@pytest.fixture
def poses():
    angles = np.linspace(0, 150, 9)
    places = np.stack([np.sin(angles / 40), 0 * angles, angles / 60], axis=-1)
    return pose_from_angles(angles, position=places).astype(np.float32)


def whole_path(poses, intrinsics, actions=None):
    """Camera cells of all frames, from the path as a whole."""
    relative = relative_to_first(poses, framewise=True, normalize=True)
    return np.moveaxis(camera_channels(relative, intrinsics, SIZE, actions=actions), 0, -1)


def chunk_by_chunk(poses, lens, actions=None):
    """Camera cells of one chunk after another, each knowing the latest pose alone."""
    cells, previous = [], poses[:1]
    for first in range(0, len(poses), 3):
        chunk = jax.device_put(poses[None, first : first + 3])
        own = None if actions is None else jax.device_put(actions[None, first : first + 3])
        cells.append(camera_cells(previous, chunk, lens._replace(actions=own), SIZE)[0])
        previous = chunk[:, -1]
    return np.concatenate(cells)


def test_a_live_camera_sees_what_the_whole_path_sees(poses):
    lens = make_lens(SIZE, scale=motion_scale(poses))
    got = chunk_by_chunk(poses, lens)
    assert got.shape == (9, 4, 6, 384)
    np.testing.assert_allclose(got, whole_path(poses, np.asarray(lens.intrinsics[0])), atol=3e-6)


def test_keys_replace_the_origins_of_rays(poses):
    actions = np.random.default_rng(0).integers(0, 2, (9, 4)).astype(np.float32)
    lens = make_lens(SIZE, scale=motion_scale(poses))
    got = chunk_by_chunk(poses, lens, actions)
    assert got.shape == (9, 4, 6, 448)
    np.testing.assert_allclose(got, whole_path(poses, np.asarray(lens.intrinsics[0]), actions), atol=3e-6)
    np.testing.assert_array_equal(got[4, 2, 3, 192:], np.repeat(actions[4], 64))


def test_far_from_the_origin_steps_stay_exact(poses):
    far = poses.copy()
    far[:, :3, 3] += 4096  # float32 keeps a quarter of a thousandth there
    near = poses.copy()
    near[:, :3, 3] = far[:, :3, 3] - 4096
    got = steps(jax.device_put(far[0]), jax.device_put(far[1:4]), jnp.float32(1))
    np.testing.assert_allclose(
        got, steps(jax.device_put(near[0]), jax.device_put(near[1:4]), jnp.float32(1)), atol=1e-6
    )


def test_scale_is_the_longest_step():
    walk = trajectory("W", distance=1.0)
    assert motion_scale(walk) == pytest.approx(1 / 24, rel=1e-4)
    assert motion_scale(trajectory("R90")) == 1.0  # it turns on the spot
    moves = steps(jax.device_put(walk[0]), jax.device_put(walk[1:]), jnp.float32(motion_scale(walk)))
    np.testing.assert_allclose(np.linalg.norm(moves[:, :3, 3], axis=-1), 1, atol=1e-4)


def test_a_lens_follows_the_size_and_takes_the_first_row():
    rows = np.array([[400.0, 410, 416, 240], [1, 2, 3, 4]])
    lens = make_lens((464, 832), intrinsics=rows, scale=0.5)
    assert isinstance(lens, Lens) and lens.actions is None and lens.scale == 0.5
    np.testing.assert_allclose(lens.intrinsics[0], rescale_intrinsics(rows[0], (464, 832)))
