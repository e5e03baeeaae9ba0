"""Camera paths of InSpatio-World: files, samples, poses and frame numbers."""

import numpy as np
import pytest

from ports.inspatio_world.source.cameras import render_intrinsics, target_poses
from ports.inspatio_world.source.frames import (
    adapt,
    freeze,
    latent_frames,
    resample,
    whole_chunks,
)
from ports.inspatio_world.source.trajectory import Trajectory, read_target_poses, read_trajectory, relative_poses
from ports.wan.latents import frames_of, latents_of
from worldkv_jax.cameras import inverse, pose_from_angles

KEYS = (0.0, 8.0, 20.0, 8.0, 0.0, -8.0, 0.0)


def write(tmp_path, text):
    path = tmp_path / "path.txt"
    path.write_text(text)
    return path


def test_three_lines_are_read(tmp_path):
    path = read_trajectory(write(tmp_path, "0 10\n\n 0 -25 5 \n1 0.5\n"))
    assert path == Trajectory(pitch=(0, 10), yaw=(0, -25, 5), displacement=(1, 0.5))
    assert path.total_angle == 55


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "empty"),
        ("0 1\n0 1", "2 lines"),
        ("0 1\n0 1\n0 x", "line 3 is not a row of numbers"),
        ("0 1\n0\n0 1", "yaw keys"),
        ("0 nan\n0 1\n0 1", "pitch keys"),
        ("\n".join(["1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1"] * 5), "format of v1.5"),
    ],
)
def test_what_is_no_path_of_v1_is_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_trajectory(write(tmp_path, text))


def test_matrices_are_read_as_camera_to_world(tmp_path):
    poses = pose_from_angles([0.0, 10, 20], 5.0, [[1.0, 2, 3]] * 3)
    text = "\n".join(" ".join(map(str, matrix.reshape(-1))) for matrix in inverse(poses))
    np.testing.assert_allclose(read_target_poses(write(tmp_path, text)), poses, atol=1e-12)


@pytest.mark.parametrize(
    "text, message",
    [
        ("0 1\n0 1\n0 1", "format of v1"),
        (" ".join(["1"] * 16), "last row"),
        ("1 0 0 0 0 1 0 0 0 0 1 0", "line 1 has 12 numbers"),
        ("\n\n1 0 0 0 0 1 0 0 0 0 1 0\n", "line 3 has 12 numbers"),
    ],
)
def test_what_is_no_path_of_v15_is_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_target_poses(write(tmp_path, text))


def test_missing_files_are_named(tmp_path):
    for read in (read_trajectory, read_target_poses):
        with pytest.raises(FileNotFoundError, match="no camera path"):
            read(tmp_path / "none.txt")


def test_exact_fit_meets_the_keys_and_smooth_does_not():
    path = Trajectory(pitch=KEYS, yaw=KEYS, displacement=KEYS)
    at = np.linspace(0, 120, len(KEYS)).astype(int)
    exact, smooth = (path.sample(121, fit=fit) for fit in ("exact", "smooth"))
    np.testing.assert_allclose(exact[0][at], KEYS, atol=1e-9)
    assert 0.1 < np.abs(smooth[0][at] - KEYS).max() < 3
    for curve in (exact[2], smooth[2]):
        assert curve[0] == KEYS[0] and curve[-1] == KEYS[-1]


def test_the_camera_turns_about_a_point_ahead():
    poses = relative_poses([0.0, 10, -5], [20.0, -30, 0], [2.0, 2, 2])
    seen = np.einsum("nij,j->ni", inverse(poses), [0.0, 0, 2, 1])
    np.testing.assert_allclose(seen[:, :3], [[0, 0, 2]] * 3, atol=1e-6)
    assert (poses[:2, 0, 2] * [1, -1] > 0).all()  # a positive yaw turns the view towards +x, about the point
    assert poses[1, 1, 2] > 0


def test_rotation_only_stays_and_a_dolly_moves():
    turn = relative_poses([0.0, 1], [0.0, 10], [1.0, 1], rotation_only=True)
    assert not turn[:, :3, 3].any()
    dolly = relative_poses([0.0, 0], [0.0, 0], [0.0, 0.5], rotation_only=True)
    np.testing.assert_allclose(dolly[:, :3, 3], [[0, 0, 0], [0, 0, 0.5]])
    np.testing.assert_allclose(relative_poses([0.0], [0.0], [1.0], zoom=[3.0])[0, 2, 3], 3)


def test_targets_start_from_the_source():
    source = pose_from_angles([30.0, 40], 0.0, [[1.0, 0, 2], [2.0, 0, 2]])
    path = relative_poses([0.0, 0], [0.0, 10], [1.0, 1])
    np.testing.assert_allclose(target_poses(source, path), source[:1] @ path)
    np.testing.assert_allclose(target_poses(source, path, follow=True), source @ path)
    # From the identity, the released way of multiplying is the same.
    centred = inverse(source[0]) @ source
    for follow in (False, True):
        released = target_poses(centred, path, follow=follow, released=True)
        np.testing.assert_allclose(released, target_poses(centred, path, follow=follow), atol=1e-12)


def test_a_lens_is_centred_as_released():
    np.testing.assert_allclose(render_intrinsics([36, 38, 20, 12], (24, 40)), [36, 38, 20, 12])
    np.testing.assert_allclose(render_intrinsics([36, 38, 10, 6], (24, 40)), [72, 76, 20, 12])
    with pytest.raises(ValueError, match="principal point"):
        render_intrinsics([36, 38, 0, 6], (24, 40))


def test_frames_and_latents():
    assert [latents_of(n) for n in (1, 4, 5, 8, 9)] == [1, 1, 2, 2, 3]
    assert [frames_of(n) for n in (1, 2, 3)] == [1, 5, 9]
    assert latent_frames(3).tolist() == [0, 4, 8]


def test_whole_chunks_are_cut_or_padded():
    assert [whole_chunks(n, "v1") for n in (9, 20, 21, 32)] == [9, 9, 21, 21]
    assert [whole_chunks(n, "v1.5") for n in (1, 9, 10, 21, 22)] == [9, 9, 21, 21, 33]
    with pytest.raises(ValueError, match="do not fill a chunk"):
        whole_chunks(8, "v1")
    with pytest.raises(ValueError, match="at least one"):
        whole_chunks(0, "v1.5")


def test_freezing_shows_a_frame_again():
    assert freeze(5, repeat=2).tolist() == [0, 1, 2, 2, 2, 3, 4]
    assert freeze(3, repeat=1, at=0).tolist() == [0, 0, 1, 2]
    assert freeze(3).tolist() == [0, 1, 2]
    for wrong in ({"repeat": -1}, {"repeat": 1, "at": 3}):
        with pytest.raises(ValueError, match="cannot show frame"):
            freeze(3, **wrong)


def test_numbers_bounce_and_thin():
    assert resample(3, 7).tolist() == [0, 1, 2, 1, 0, 1, 2]
    assert resample(1, 3).tolist() == [0, 0, 0]
    assert len(adapt(20, 0.0)) == 121 and len(adapt(300, 0.0)) == 300
    assert len(adapt(400, 55.0)) == 184
