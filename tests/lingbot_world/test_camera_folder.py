"""Camera paths from folders as WorldKV and LingBot-World have them, and from scripts."""

import numpy as np
import pytest

from ports.lingbot_world.camera_folder import latent_actions, read_path
from worldkv_jax.cameras import DEFAULT_INTRINSICS, trajectory


def write(folder, prefix="", *, poses=45, rows=None, actions=None, columns=4):
    """Write a camera folder, its files with a prefix."""
    folder.mkdir(exist_ok=True)
    np.save(folder / f"{prefix}poses.npy", trajectory("R_L20", poses))
    np.save(folder / f"{prefix}intrinsics.npy", np.tile(DEFAULT_INTRINSICS, (rows or poses, 1)).astype(np.float32))
    if actions is not None:
        keys = np.arange(actions * columns).reshape(actions, columns)
        np.save(folder / f"{prefix}action.npy", keys)
    return str(folder)


@pytest.mark.parametrize("prefix", ["", "R_L20_45_"])
def test_a_folder_with_plain_or_prefixed_names(tmp_path, prefix):
    path = read_path(write(tmp_path / "path", prefix, actions=45), "act", frames=None)
    np.testing.assert_allclose(path.track.poses, trajectory("R_L20", 45))
    assert path.track.intrinsics.shape == (45, 4) and path.actions.shape == (45, 4)
    assert read_path(str(tmp_path / "path"), "cam", frames=None).actions is None


def test_plain_names_win(tmp_path):
    write(tmp_path / "path", "other_", poses=41)
    assert len(read_path(write(tmp_path / "path", poses=49), "cam", frames=None).track) == 49


def test_a_script_is_held_or_cut():
    whole = trajectory("R90")
    np.testing.assert_array_equal(read_path("R90", "cam", frames=None).track.poses, whole)
    held = read_path("R90", "cam", frames=60).track
    np.testing.assert_array_equal(held.poses[44:], np.repeat(whole[-1:], 16, axis=0))
    np.testing.assert_array_equal(read_path("R90", "cam", frames=9).track.poses, whole[:9])
    np.testing.assert_allclose(held.intrinsics, np.tile(DEFAULT_INTRINSICS, (60, 1)))


def test_keys_of_latent_frames():
    keys = np.arange(49 * 4).reshape(49, 4)
    # Just as many as the released code needs: it takes every fourth.
    np.testing.assert_array_equal(latent_actions(keys, 45, 12), keys[:45:4])
    # The released code stops here; the poses are stretched over all 49, and so are the keys.
    spread = latent_actions(keys, 49, 12)
    np.testing.assert_array_equal(spread[[0, -1]], keys[[0, 48]])
    assert len(spread) == 12


@pytest.mark.parametrize(
    ("make", "control", "says"),
    [
        (lambda f: write(f, rows=44), "cam", "intrinsics have 44 rows for 45 poses"),
        (lambda f: write(f, "a_", rows=44), "cam", "intrinsics have 44 rows for 45 poses"),
        (lambda f: write(f, "a_") and write(f, "b_"), "cam", "2 files"),
        (lambda f: write(f), "act", "action.npy is missing"),
        (lambda f: write(f, actions=45, columns=3), "act", r"expected finite numbers \[n, 4\]"),
        (lambda f: "R90", "act", "steered by keys as well"),
        (lambda f: "Q90", "cam", "unknown move 'Q'"),
        (lambda f: str(f / "nowhere"), "cam", "is no folder"),
        (lambda f: f.mkdir() or str(f), "cam", "poses.npy is missing"),
        (lambda f: (write(f, "a_") and (f / "a_poses.npy").unlink()) or str(f), "cam", "poses.npy is missing"),
        (lambda f: write(f) and (f / "poses.npy").write_bytes(b"junk") and str(f), "cam", "cannot be read"),
        (lambda f: write(f, "a_") and (f / "a_poses.npy").write_bytes(b"junk") and str(f), "cam", "cannot be read"),
    ],
)
def test_what_is_refused(tmp_path, make, control, says):
    with pytest.raises((ValueError, FileNotFoundError), match=says):
        read_path(make(tmp_path / "path"), control, frames=None)


def test_keys_that_are_too_few():
    with pytest.raises(ValueError, match=r"44 rows for 45 frames"):
        latent_actions(np.zeros((44, 4)), 45, 12)


def test_a_path_that_is_not_there_is_no_script(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"no folder or file mypath, and no script: .*unknown move 'mypath'"):
        read_path("mypath", "cam", frames=None)
    for text in ("paths/a", "poses.npy", "~/paths", "./a"):
        with pytest.raises(FileNotFoundError, match="is no folder and no file"):
            read_path(text, "cam", frames=None)


def test_a_lens_in_shares_is_refused(tmp_path):
    """It was taken for pixels: a view of nearly 180 degrees."""
    folder = write(tmp_path / "path")
    np.save(tmp_path / "path" / "intrinsics.npy", np.tile([0.5, 0.866, 0.5, 0.5], (45, 1)))
    with pytest.raises(ValueError, match=r"path: intrinsics: row 0 is .*shares of its sides"):
        read_path(folder, "cam", frames=None)


def test_files_of_other_programs(tmp_path):
    from worldkv_jax.cameras.formats import CameraFile, write_cameras

    poses = trajectory("R90")
    lens = (320.0, 320.0, 320.0, 240.0)
    for format, name in (("nerfstudio", "transforms.json"), ("colmap", "model"), ("tum", "a.txt")):
        file = write_cameras(tmp_path / name, CameraFile(poses=poses, intrinsics=lens, size=(480, 640)), format=format)
        said = []
        track = read_path(str(file), "cam", frames=None, tell=said.append).track
        np.testing.assert_allclose(track.poses, poses, atol=1e-6)
        if format == "tum":
            assert "has no lens" in said[0]
        else:
            np.testing.assert_allclose(track.intrinsics[0], [416, 320, 416, 240])
