"""The command worldkv cameras: what it says of a path, draws and converts."""

import numpy as np
import pytest

from worldkv_jax.cameras import DEFAULT_INTRINSICS, CameraTrack, trajectory, write_track
from worldkv_jax.cli.main import main
from worldkv_jax.media import read_picture


@pytest.fixture
def folder(tmp_path):
    poses = np.asarray(trajectory("R30 W L90", degrees_per_frame=5), np.float64)
    poses[:, :3, 3] += (3000.0, 0, 4000.0)
    return str(write_track(tmp_path / "cams", CameraTrack(poses, DEFAULT_INTRINSICS)))


def test_a_path_is_described_drawn_and_converted(folder, tmp_path, capsys):
    out = tmp_path / "transforms.json"
    assert (
        main(["cameras", folder, "--plot", str(tmp_path / "a $plot$.png"), "--to", "nerfstudio", "--out", str(out)])
        == 0
    )
    said = capsys.readouterr().out
    assert "48 cameras" in said and "5000 units from the origin" in said
    assert "yaw -65.0 to 25.0, pitch" in said
    assert "pixels of 480x832; sees 90.1 x 60.0 degrees" in said
    assert read_picture(tmp_path / "a $plot$.png").shape == (770, 770, 3)
    assert main(["cameras", str(out)]) == 0
    assert "48 cameras" in capsys.readouterr().out


def test_a_lens_can_be_given(folder, tmp_path, capsys):
    poses = f"{folder}/poses.npy"
    assert main(["cameras", poses, "--to", "colmap", "--out", str(tmp_path / "m")]) == 2
    assert "has no lens" in capsys.readouterr().err
    assert (
        main(["cameras", poses, "--fov", "90", "--size", "480x640", "--to", "colmap", "--out", str(tmp_path / "m")])
        == 0
    )
    assert "sees 90.0 x 73.7 degrees" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--to", "tum"], "--to NAME and --out PATH belong together"),
        (["--size", "big"], "--size big: expected height and width"),
        (["--fov", "200"], "--fov 200: expected degrees between 0 and 180"),
        (["--plot", "a.jpg"], "figures are written as .png"),
        (["--format", "tmu"], "did you mean 'tum'"),
        (["--to", "tun", "--out", "a"], "did you mean 'tum'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(folder, options, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["cameras", folder, *options]) == 2
    assert message in capsys.readouterr().err


def test_jumps_are_told(tmp_path, capsys):
    poses = np.tile(np.eye(4), (20, 1, 1))
    poses[:, 0, 3] = np.arange(20) * 0.1 + 50 * (np.arange(20) > 11)
    np.save(tmp_path / "a.npy", poses)
    assert main(["cameras", str(tmp_path / "a.npy")]) == 0
    assert "the camera jumps at frame 12" in capsys.readouterr().out
