"""Paths far from the origin, in geographic coordinates: the same cameras as at the origin."""

import numpy as np
import pytest

from worldkv_jax.cameras import (
    DEFAULT_INTRINSICS,
    CameraTrack,
    latent_poses,
    read_track,
    relative,
    relative_to_first,
    trajectory,
    translation_scale,
    write_track,
)
from worldkv_jax.memory import KVSpec
from worldkv_jax.rollout import chunk_inputs

AWAY = np.array([448262.0, 5411932.0, 35.0])
SPEC = KVSpec(layers=1, heads=1, head_dim=8, tokens_per_frame=1, chunk_frames=3)


def path():
    return np.asarray(trajectory("R30 W W L40 S hold4", degrees_per_frame=5, walk_frames=8), np.float64)


def away(poses):
    moved = poses.copy()
    moved[:, :3, 3] += AWAY
    return moved


def cameras_of(poses, **keywords):
    return np.stack([chunk.cameras for chunk in chunk_inputs(poses[: len(poses) // 3 * 3], SPEC, **keywords)])


def test_chunks_are_the_same_wherever_the_path_lies():
    """In float32 half a metre is the smallest step there: a path of 4 m fell apart."""
    np.testing.assert_allclose(cameras_of(away(path())), cameras_of(path()), atol=1e-6)


def test_motion_between_latent_frames_is_the_same():
    near, far = (latent_poses(poses, 12) for poses in (path(), away(path())))
    np.testing.assert_allclose(relative(far[0], far), relative(near[0], near), atol=1e-6)
    steps = [relative_to_first(poses, framewise=True) for poses in (near, far)]
    np.testing.assert_allclose(steps[1], steps[0], atol=1e-6)
    assert translation_scale(steps[1]) == pytest.approx(translation_scale(steps[0]), rel=1e-6)


def test_a_part_that_continues_a_path_keeps_its_origin():
    poses = away(path())[:24]
    whole = cameras_of(poses)
    parts = [cameras_of(poses[:12]), cameras_of(poses[12:], origin=poses[0])]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_a_folder_keeps_what_tells_positions_apart(tmp_path):
    track = CameraTrack(away(path()), DEFAULT_INTRINSICS)
    np.testing.assert_allclose(read_track(write_track(tmp_path / "far", track)).poses, track.poses, atol=1e-9)
    write_track(tmp_path / "near", CameraTrack(path(), DEFAULT_INTRINSICS))
    assert np.load(tmp_path / "near" / "poses.npy").dtype == np.float32
