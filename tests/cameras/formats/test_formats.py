"""Formats of camera paths: axes and directions are right, what is written comes back, what is damaged is named."""

import dataclasses
import json
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worldkv_jax.cameras import nearest_rigid, pose_from_angles, relative, trajectory
from worldkv_jax.cameras.formats import FORMATS, CameraFile, read_cameras, write_cameras
from worldkv_jax.cameras.formats.camera_file import SHARES
from worldkv_jax.cameras.formats.minecraft import read_actions

LENS = (400.0, 410.0, 416.0, 240.0)
WRITTEN = {"folder": "cams", "npy": "a.npy", "realestate10k": "a.txt", "nerfstudio": "transforms.json", "colmap": "m",
           "tum": "a.txt", "json": "a.json"}  # fmt: skip

WITHOUT_LENS = ("npy", "tum")


def path():
    poses = nearest_rigid(trajectory("R40 W U10 S hold3", degrees_per_frame=5, walk_frames=6))
    poses[:, :3, 3] += (100.0, -3.0, 7.0)
    return poses


def cameras(**changes):
    return dataclasses.replace(CameraFile(poses=path(), intrinsics=LENS, size=(480, 832)), **changes)


@pytest.mark.parametrize("name", WRITTEN)
def test_what_is_written_comes_back_and_is_recognised(tmp_path, name):
    place = write_cameras(tmp_path / WRITTEN[name], cameras(), format=name)
    back = read_cameras(place)
    np.testing.assert_allclose(back.poses, path(), atol=2e-6)
    if name not in WITHOUT_LENS:
        np.testing.assert_allclose(back.lens((480, 832)), cameras().intrinsics, rtol=1e-5)
        assert back.size == (SHARES if name == "realestate10k" else (480, 832))
    assert not back.notes
    with pytest.raises(FileExistsError, match="is there already"):
        write_cameras(place, cameras(), format=name)
    assert not [entry for entry in tmp_path.iterdir() if "draft" in entry.name]


def test_times_and_names_are_kept(tmp_path):
    times, names = np.arange(len(path())) * 0.04, tuple(f"p/{i}.jpg" for i in range(len(path())))
    for name in ("realestate10k", "tum"):
        back = read_cameras(write_cameras(tmp_path / f"{name}.txt", cameras(times=times), format=name))
        np.testing.assert_allclose(back.times, times, atol=1e-6)
    for name, place in (("nerfstudio", "a.json"), ("colmap", "model")):
        assert read_cameras(write_cameras(tmp_path / place, cameras(names=names), format=name)).names == names


# --- axes and directions, by hand ---

# A camera that stands 2 to the right of the origin and looks to the right (along +x of the world), upright.
RIGHT = np.array([[0.0, 0, 1, 2], [0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 1]])


def test_realestate10k_holds_world_to_camera(tmp_path):
    # The origin lies behind it by 2: world-to-camera moves it to z = -2.
    (tmp_path / "a.txt").write_text(
        "https://a.b/c\n"
        "0 0.5 0.9 0.5 0.5 0 0 1 0 0 0 0 1 0 0 0 0 1 0\n"
        "33333 0.5 0.9 0.5 0.5 0 0 0 0 -1 0 0 1 0 0 1 0 0 -2\n"
    )
    found = read_cameras(tmp_path / "a.txt")
    np.testing.assert_allclose(found.poses, [np.eye(4), RIGHT], atol=1e-12)
    np.testing.assert_allclose(found.lens((480, 832))[0], [416, 432, 416, 240])
    assert found.times[1] == pytest.approx(0.033333)


def test_nerfstudio_has_opengl_axes(tmp_path):
    """Its cameras look along -z with y up: the same camera has y and z turned round."""
    opengl = RIGHT @ np.diag([1, -1, -1, 1])
    frames = [{"file_path": "b/frame_10.png", "transform_matrix": opengl.tolist()},
              {"file_path": "b/frame_9.png", "transform_matrix": np.diag([1, -1, -1, 1]).tolist()}]  # fmt: skip
    data = {"w": 640, "h": 480, "camera_angle_x": np.pi / 2, "k1": 0.1, "frames": frames}
    (tmp_path / "transforms.json").write_text(json.dumps(data))
    for place in (tmp_path, tmp_path / "transforms.json"):
        found = read_cameras(place)
        np.testing.assert_allclose(found.poses, [np.eye(4), RIGHT], atol=1e-12)
        np.testing.assert_allclose(found.intrinsics[0], [320, 320, 320, 240])
        assert any("brought into the order" in note for note in found.notes)
        assert any("distortion" in note for note in found.notes)


def test_colmap_holds_world_to_camera_in_quaternions_with_w_first(tmp_path):
    half = np.sqrt(0.5)
    (tmp_path / "cameras.txt").write_text(
        "# c\n1 SIMPLE_RADIAL 640 480 500 320 240 0.1\n2 PINHOLE 320 240 250 250 160 120\n"
    )
    (tmp_path / "images.txt").write_text(
        f"# i\n1 {half} 0 {-half} 0 0 0 -2 1 b 10.png\n1.0 2.0 -1 3 4 5\n2 1 0 0 0 0 0 0 2 b 9.png\n\n"
    )
    found = read_cameras(tmp_path)
    np.testing.assert_allclose(found.poses, [np.eye(4), RIGHT], atol=1e-12)
    np.testing.assert_allclose(found.intrinsics, [[250, 250, 160, 120]] * 2)
    assert found.names == ("b 9.png", "b 10.png") and found.size == (240, 320) and len(found.notes) == 3
    # People take the lines of points out.
    (tmp_path / "images.txt").write_text(f"1 {half} 0 {-half} 0 0 0 -2 1 10.png\n2 1 0 0 0 0 0 0 2 9.png\n")
    np.testing.assert_allclose(read_cameras(tmp_path / "images.txt").poses, [np.eye(4), RIGHT], atol=1e-12)


def test_tum_holds_camera_to_world_in_quaternions_with_w_last(tmp_path):
    half = np.sqrt(0.5)
    (tmp_path / "a.txt").write_text(f"# t\n0.0 0 0 0 0 0 0 1\n0.1 2 0 0 0 {half} 0 {half}\n")
    np.testing.assert_allclose(read_cameras(tmp_path / "a.txt").poses, [np.eye(4), RIGHT], atol=1e-12)


@pytest.mark.parametrize(
    "size", [{"width": 1920, "height": 1080}, {"image_size": [1920, 1080]}, {"size": [1080, 1920]}]
)
def test_json_with_matrices_says_directions_by_name(tmp_path, size):
    lens = [[1000, 0, 960], [0, 1000, 540], [0, 0, 1]]
    world_to_camera = np.linalg.inv(RIGHT)
    for content in (
        {"K": lens, "c2w": [np.eye(4).tolist(), RIGHT.tolist()]},
        {"intrinsics": [1000, 1000, 960, 540], "w2c": [np.eye(4).tolist(), world_to_camera.tolist()]},
        {"frames": [{"K": lens, "pose": np.eye(4)[:3].tolist()}, {"K": lens, "pose": RIGHT[:3].tolist()}]},
        {"K": {"fx": 1000, "fy": 1000, "cx": 960, "cy": 540}, "extrinsics": [np.eye(4).ravel().tolist(),
         world_to_camera.ravel().tolist()]},
    ):  # fmt: skip
        (tmp_path / "a.json").write_text(json.dumps(size | content))
        found = read_cameras(tmp_path / "a.json")
        np.testing.assert_allclose(found.poses, [np.eye(4), RIGHT], atol=1e-12)
        np.testing.assert_allclose(found.intrinsics, [[1000, 1000, 960, 540]] * 2)
        assert found.size == (1080, 1920)


def test_minecraft_actions_walk_and_turn(tmp_path):
    rest = {"forward": 0, "back": 0, "left": 0, "right": 0, "jump": 0}
    rows = [rest | {"camera": [-5, 10]}, rest | {"camera": [0, 80]}, rest | {"forward": 1, "camera": [0, 0]}, rest]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    actions = read_actions(tmp_path / "a.jsonl")
    assert actions.keys["forward"].tolist() == [0, 0, 1, 0] and actions.turn[0].tolist() == [5, 10]
    poses = read_cameras(tmp_path / "a.jsonl").poses
    np.testing.assert_allclose(poses[1], pose_from_angles(10, 5), atol=1e-12)
    assert poses[3][0, 3] > 0.1 and abs(poses[3][2, 3]) < 1e-12  # walked to the right, where it looks by then
    (tmp_path / "a.jsonl").write_text("\n".join([json.dumps(rest | {"camera": [-60, 0]})] * 4))
    assert read_cameras(tmp_path / "a.jsonl").poses[-1][1, 2] == pytest.approx(-1)  # no further than straight up


# --- what is damaged ---


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "1 2 3\n", "is no camera path known here"),
        ("a.txt", "0 0 0 0 0 0 0 1\n0 0 0 0 0 0 0 1\n", "times do not increase after row 0"),
        ("a.txt", "0 0 0 0 0 0 0 0.5\n", "quaternion 0 is .*expected one of length 1"),
        ("a.txt", "0 1 1 0.5 0.5 0 0" + " 2 0 0 0 0 1 0 0 0 0 1 0\n", "rotation is not orthonormal"),
        ("a.txt", "0 0 0 0 0 0 0 1\n1 0 0 0 nan 0 0 1\n", "line 2: holds a number that is not finite"),
        ("a.txt", "\n".join(["0 0 0 0 0 0 0 1"] * 6 + ["1 2"]), "line 7: 2 numbers, expected 8"),
        ("a.json", "{", "is not JSON"),
        ("a.json", "[1, 2]", "no matrices named"),
        ("a.json", '{"c2w": [[1, 2], [3]]}', "c2w is .*expected numbers"),
        ("a.json", '{"c2w": [[[1, 2], [3, 4]]]}', r"c2w has shape \(2, 2\), expected a matrix"),
        ("a.json", '{"frames": [{"transform_matrix": "x"}]}', "transform_matrix is 'x'|expected numbers"),
        ("a.json", '{"frames": {"transform_matrix": 1}}', "frames is .*expected a list"),
        ("a.json", json.dumps({"c2w": [np.eye(4).tolist()], "w": 10**400, "h": 1}), "w is 1000.*a number"),
        ("a.jsonl", '{"forward": 2}', "key forward is 2, expected 0 or 1"),
        ("a.jsonl", '{"forward": 1}\n[1]', "line 2: expected an object"),
        ("a.jsonl", '{"camera": [1, "x"]}', "line 1: camera is .*expected numbers"),
        ("a.jsonl", "", "has no actions"),
        ("a.npy", "x", "cannot be read as a .npy array"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=rf"(?s){name}.*({message})"):
        read_cameras(tmp_path / name)


@pytest.mark.parametrize("name", ["A.TXT", "A.TUM", "A.NPY", "A.JSON", "A.JSONL"])
def test_suffixes_may_be_written_in_capitals(tmp_path, name):
    small = tmp_path / name.lower()
    if name == "A.JSONL":
        small.write_text('{"forward": 1}')
    else:
        format = {"A.NPY": "npy", "A.JSON": "json"}.get(name, "tum")
        write_cameras(small, CameraFile(poses=[RIGHT], intrinsics=[50, 50, 40, 30], size=(60, 80)), format=format)
    np.testing.assert_array_equal(read_cameras(small).poses, read_cameras(small.rename(tmp_path / name)).poses)


def test_pipes_and_devices_are_no_camera_paths(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", "/dev/null"):
        with pytest.raises(ValueError, match="is not a regular file, expected a camera path"):
            read_cameras(place)


def test_missing_parts_and_other_folders_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere is not there"):
        read_cameras(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="a folder with nothing in it"):
        read_cameras(tmp_path)
    (tmp_path / "images.bin").touch()
    with pytest.raises(ValueError, match="model_converter --output_type TXT"):
        read_cameras(tmp_path)
    (tmp_path / "images.txt").write_text("1 1 0 0 0 0 0 0 1 a.png\n\n")
    with pytest.raises(FileNotFoundError, match=r"cameras\.txt is not there; expected COLMAP's lenses"):
        read_cameras(tmp_path)
    (tmp_path / "cameras.txt").write_text("1 OPENCV_FISHEYE 640 480 1 1 1 1 0 0 0 0\n")
    with pytest.raises(ValueError, match="OPENCV_FISHEYE is no pinhole"):
        read_cameras(tmp_path)
    with pytest.raises(ValueError, match="unknown camera format 'colnap'; did you mean 'colmap'"):
        read_cameras(tmp_path, format="colnap")
    with pytest.raises(ValueError, match="minecraft"):
        write_cameras(tmp_path / "a", cameras(), format="minecraft")
    for format in ("colmap", "nerfstudio", "json", "realestate10k", "folder"):
        with pytest.raises(ValueError, match=r"size|lens"):
            write_cameras(tmp_path / "new", CameraFile(poses=path(), intrinsics=LENS), format=format)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(sorted(WRITTEN)), data=st.data())
def test_damage_is_named_or_harmless(tmp_path_factory, name, data):
    folder = tmp_path_factory.mktemp("damaged")
    place = write_cameras(folder / WRITTEN[name], cameras(), format=name)
    files = sorted(place.iterdir()) if place.is_dir() else [place]
    file = data.draw(st.sampled_from(files))
    content = bytearray(file.read_bytes())
    for at in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=6)):
        content[at] = data.draw(st.sampled_from(list(b'0 9e-.n"[{}],\n\xff')))
    file.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    for format in (None, name):
        try:
            assert relative(np.eye(4), read_cameras(place, format=format).poses).shape[1:] == (4, 4)
        except (ValueError, FileNotFoundError) as error:
            assert str(folder) in str(error)


def test_images_of_one_number_are_named_with_their_folder(tmp_path):
    place = write_cameras(tmp_path / "model", cameras(), format="colmap")
    images = place / "images.txt"
    lines = [line for line in images.read_text().splitlines() if line.strip() and not line.startswith("#")]
    first, second = (line.split()[-1] for line in lines[:2])
    images.write_text(images.read_text().replace(second, f"0{first}"))
    with pytest.raises(ValueError, match=f"{place}: .*have one number"):
        read_cameras(place)


@given(st.text(alphabet='0123456789 .-e\n{}[]",:abc#', max_size=300), st.sampled_from([*FORMATS]))
def test_any_text_is_a_path_or_refused_by_name(tmp_path_factory, text, format):
    place = tmp_path_factory.getbasetemp() / "any.json"
    place.write_text(text)
    with pytest.raises((ValueError, FileNotFoundError), match="any"):
        read_cameras(place, format=format)
