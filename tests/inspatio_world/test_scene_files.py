"""Scene folders: every kind of file that is read, and what is wrong with those that are not."""

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from ports.inspatio_world.source.scene import Scene
from ports.inspatio_world.source.scene_files import read_scene, write_scene
from worldkv_jax.cameras import inverse, pose_from_angles

SIZE = (16, 32)
LENS = np.array([20.0, 21.0, 15.0, 8.0])
MATRIX = np.array([[20.0, 0, 15], [0, 21, 8], [0, 0, 1]])


@pytest.fixture
def parts():
    rng = np.random.default_rng(0)
    return {
        "frames": rng.integers(0, 256, (5, *SIZE, 3), np.uint8),
        "depth": rng.uniform(1, 4, (5, *SIZE)).astype(np.float32),
        "intrinsics": np.tile(LENS, (5, 1)),
        "poses": pose_from_angles(np.arange(5.0)),
    }


def write_plain(folder, parts):
    folder.mkdir(exist_ok=True)
    for name, array in parts.items():
        np.save(folder / f"{name}.npy", array)
    return folder


def equal(scene, parts, depth_error=0.0):
    np.testing.assert_array_equal(scene.frames, parts["frames"])
    np.testing.assert_allclose(scene.depth, parts["depth"], atol=depth_error)
    np.testing.assert_allclose(scene.intrinsics, parts["intrinsics"])
    np.testing.assert_allclose(scene.poses, parts["poses"], atol=1e-6)


def test_arrays(tmp_path, parts):
    scene = read_scene(write_plain(tmp_path, parts))
    equal(scene, parts)
    assert scene.kind == "video" and scene.prompt is None and scene.targets is None and not scene.notes


def test_a_lens_for_all_frames_and_as_matrices(tmp_path, parts):
    for lens in (LENS, MATRIX, np.tile(MATRIX, (5, 1, 1))):
        equal(read_scene(write_plain(tmp_path, {**parts, "intrinsics": lens})), parts)


def test_what_is_written_is_read(tmp_path, parts):
    write_scene(tmp_path, Scene(**parts, prompt="a room"))
    scene = read_scene(tmp_path)
    equal(scene, parts)
    assert scene.prompt == "a room"


def write_released(folder, parts):
    """Write what the released code of v1 leaves behind."""
    for name in ("frames", "depth"):
        (folder / name).mkdir()
    for i, (frame, depth) in enumerate(zip(parts["frames"], parts["depth"])):
        Image.fromarray(frame).save(folder / "frames" / f"{i:04d}.png")
        as_bytes = np.frombuffer(depth.tobytes(), np.uint8).reshape(*SIZE, 4)
        Image.fromarray(as_bytes, "RGBA").save(folder / "depth" / f"{i:04d}.png")
    np.savetxt(folder / "intrinsic.txt", np.tile(MATRIX, (5, 1)))
    np.savetxt(folder / "extrinsic.txt", inverse(parts["poses"])[:, :3].reshape(-1, 4))


def test_released_folder_of_v1(tmp_path, parts):
    write_released(tmp_path, parts)
    equal(read_scene(tmp_path), parts)


def quantise(folder, depth, names):
    low, high = float(depth.min()), float(depth.max())
    levels = np.rint((depth - low) / (high - low) * 65535).astype(np.uint16)
    for name, image in zip(names, levels):
        Image.fromarray(image).save(folder / name)
    (folder / "metadata.txt").write_text(f"{low:.9g} {high:.9g}\n")


def write_images(folder, parts, count):
    """Write images of one moment as v1.5 keeps them."""
    for name in ("input", "depth"):
        (folder / name).mkdir()
    for i in range(count):
        Image.fromarray(parts["frames"][i]).save(folder / "input" / f"view_{i:02d}.png")
    names = ["depth.png"] if count == 1 else [f"depth_{i:02d}.png" for i in range(count)]
    quantise(folder / "depth", parts["depth"][:count], names)
    np.savetxt(folder / "depth" / "source_intrinsics.txt", np.tile(MATRIX.reshape(1, 9), (count, 1)))
    np.savetxt(folder / "depth" / "source_tcw.txt", inverse(parts["poses"][:count]).reshape(-1, 16))
    np.savetxt(folder / "input" / "target_tcw.txt", inverse(pose_from_angles(np.arange(11.0))).reshape(-1, 16))
    settings = {"kind": "image", "views": count, "frames": 11, "valid_frames": 10, "fps": 15.0}
    (folder / "scene.json").write_text(json.dumps(settings))


@pytest.mark.parametrize("count", [1, 4])
def test_images_of_v15(tmp_path, parts, count):
    write_images(tmp_path, parts, count)
    scene = read_scene(tmp_path)
    equal(scene, {name: array[:count] for name, array in parts.items()}, depth_error=1e-4)
    assert (scene.kind, scene.fps, scene.valid_frames) == ("image", 15.0, 10)
    np.testing.assert_allclose(scene.targets, pose_from_angles(np.arange(11.0)), atol=1e-6)


def test_lossless_video_of_depth(tmp_path, parts):
    import subprocess

    import imageio_ffmpeg

    folder = write_plain(tmp_path, {name: array for name, array in parts.items() if name != "depth"})
    (folder / "depth").mkdir()
    low, high = float(parts["depth"].min()), float(parts["depth"].max())
    levels = np.rint((parts["depth"] - low) / (high - low) * 65535).astype(np.uint16)
    colours = np.stack([levels >> 8, levels & 255, 0 * levels], axis=-1).astype(np.uint8)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    command += ["-s", f"{SIZE[1]}x{SIZE[0]}", "-r", "24", "-i", "-", "-c:v", "libx264rgb", "-crf", "0"]
    subprocess.run([*command, str(folder / "depth" / "depth.mp4")], input=colours.tobytes(), check=True)
    (folder / "depth" / "metadata.txt").write_text(f"{low:.9g} {high:.9g}\n")
    equal(read_scene(folder), parts, depth_error=1e-4)


def test_embeddings_go_before_text(tmp_path, parts):
    folder = write_plain(tmp_path, parts)
    (folder / "prompt.txt").write_text("text")
    assert read_scene(folder).prompt == "text"
    np.save(folder / "prompt.npy", np.zeros((2, 3)))
    assert read_scene(folder).prompt == str(folder / "prompt.npy")


@pytest.mark.parametrize("missing", ["frames", "depth", "intrinsics", "poses"])
def test_missing_parts_are_named(tmp_path, parts, missing):
    folder = write_plain(tmp_path, parts)
    (folder / f"{missing}.npy").unlink()
    with pytest.raises(FileNotFoundError, match=f"has no {missing}; expected {missing}.npy"):
        read_scene(folder)


def test_no_folder():
    with pytest.raises(FileNotFoundError, match="no scene folder"):
        read_scene("nowhere")


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"frames": lambda a: a.astype(np.float32)}, "expected uint8"),
        ({"depth": lambda a: a[:, :8]}, "expected that of the frames"),
        ({"depth": lambda a: a[:4]}, "expected that of the frames"),
        ({"depth": lambda a: 0 * a}, "frame 0 has no finite number above 0"),
        ({"depth": lambda a: a * np.nan}, "frame 0 has no finite number above 0"),
        ({"depth": lambda a: 1000 * a}, "--depth-scale 0.001"),
        ({"depth": lambda a: 1e-4 * a}, "median depth"),
        ({"intrinsics": lambda a: a[:3]}, "3 intrinsics for 5 frames"),
        ({"intrinsics": lambda a: a / 100}, "rescale them as the frames were"),
        ({"intrinsics": lambda a: a * [1, 1, 4, 1]}, "rescale them as the frames were"),
        ({"poses": lambda a: a[:4]}, "4 source poses for 5 frames"),
        ({"poses": lambda a: 2 * a}, "last row"),
    ],
)
def test_parts_that_do_not_fit_are_refused(tmp_path, parts, changes, message):
    changed = {name: changes.get(name, lambda a: a)(array) for name, array in parts.items()}
    with pytest.raises(ValueError, match=message):
        read_scene(write_plain(tmp_path, changed))


def test_depth_can_be_rescaled(tmp_path, parts):
    folder = write_plain(tmp_path, {**parts, "depth": 1000 * parts["depth"]})
    np.testing.assert_allclose(read_scene(folder, depth_scale=0.001).depth, parts["depth"], rtol=1e-6)
    with pytest.raises(ValueError, match="not a positive number"):
        read_scene(folder, depth_scale=0)


def test_pixels_without_depth_are_told(parts):
    depth = parts["depth"].copy()
    depth[0, 0, :4] = [0, -1, np.nan, np.inf]
    scene = Scene(**{**parts, "depth": depth})
    assert (scene.depth[0, 0, :4] == 0).all() and "no depth" in scene.notes[0]


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("scene.json", "{", "not JSON"),
        ("scene.json", '{"kind": "sound"}', "describes no scene"),
        ("intrinsic.txt", "1 2 x", "not a table of numbers"),
        ("intrinsic.txt", "1 2 3", "3 numbers, expected 3 rows of 3"),
    ],
)
def test_damaged_files_are_named(tmp_path, parts, name, text, message):
    write_released(tmp_path, parts)
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        read_scene(tmp_path)


@pytest.mark.parametrize("part", ["frames", "depth"])
def test_pictures_of_different_sizes_are_named(tmp_path, parts, part):
    write_released(tmp_path, parts)
    path = tmp_path / part / "0003.png"
    with Image.open(path) as image:
        image.resize((16, 16)).save(path)
    with pytest.raises(ValueError, match=r"0003\.png is"):
        read_scene(tmp_path)


def test_quantised_depth_needs_its_range(tmp_path, parts):
    write_images(tmp_path, parts, 4)
    (tmp_path / "depth" / "metadata.txt").write_text("5 1")
    with pytest.raises(ValueError, match="no range of depths"):
        read_scene(tmp_path)
    (tmp_path / "depth" / "metadata.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"metadata.txt is missing"):
        read_scene(tmp_path)


def test_stretching_keeps_what_pixels_look_at(parts):
    scene = Scene(**parts).resized((32, 64))
    assert scene.frames.shape == (5, 32, 64, 3) and scene.depth.shape == (5, 32, 64)
    np.testing.assert_array_equal(scene.depth[:, ::2, ::2], parts["depth"])
    np.testing.assert_allclose(scene.intrinsics[0, :2], 2 * LENS[:2])
    assert "stretched" in scene.notes[-1]
    assert Scene(**parts).resized(SIZE).notes == ()


def rename_frames(folder, new_name):
    """Give the pictures of a written scene other names, in frames/ and depth/."""
    for part in ("frames", "depth"):
        for path in sorted((folder / part).iterdir()):
            path.rename(path.with_name(new_name(int(path.stem)) + path.suffix))


def test_pictures_are_ordered_by_number(tmp_path, parts):
    """As text 10 comes before 2, while poses stay in their order."""
    many = {name: np.concatenate([array] * 3)[:12] for name, array in parts.items()}
    write_scene(tmp_path, Scene(**many))
    rename_frames(tmp_path, "frame_{}".format)
    for name in ("._frame_3.png", ".DS_Store"):
        (tmp_path / "frames" / name).write_bytes(b"\0\5\x16\7")
    equal(read_scene(tmp_path), many)


def test_gaps_are_told_and_pictures_of_other_frames_refused(tmp_path, parts):
    write_scene(tmp_path, Scene(**parts))
    rename_frames(tmp_path, lambda number: f"{2**number}")
    assert "the numbers of the files jump from 2.png to 4.png" in " ".join(read_scene(tmp_path).notes)
    (tmp_path / "depth" / "16.png").rename(tmp_path / "depth" / "17.png")
    with pytest.raises(ValueError, match=r"picture 16 of frames/ stands beside picture 17 of depth/"):
        read_scene(tmp_path)


def test_frames_of_a_phone(tmp_path, parts):
    """Of any suffix, lying on their side, some written twice."""
    write_scene(tmp_path, Scene(**parts))
    exif = Image.Exif()
    exif[0x0112] = 3
    for path in (tmp_path / "frames").iterdir():
        with Image.open(path) as image:
            image.rotate(180).save(path.with_suffix(".WEBP"), exif=exif, lossless=True)
        path.unlink()
    equal(read_scene(tmp_path), parts)
    Image.new("RGB", (32, 16)).save(tmp_path / "frames" / "0002.jpg")
    with pytest.raises(ValueError, match=r"0002\.jpg.* have one number"):
        read_scene(tmp_path)


def test_of_a_long_video_the_beginning_is_read(tmp_path, parts, monkeypatch):
    from worldkv_jax.media import write_video

    monkeypatch.setattr(f"{read_scene.__module__}.MOST_FRAMES", 5)
    many = {name: np.concatenate([array] * 3) for name, array in parts.items()}
    folder = write_plain(tmp_path, many)
    (folder / "frames.npy").unlink()
    write_video(folder / "video.mp4", many["frames"], fps=8)
    scene = read_scene(folder)
    assert len(scene) == 5 and any("the first 5 are used" in note for note in scene.notes)


def test_texts_of_windows(tmp_path, parts):
    write_released(tmp_path, parts)
    for name in ("intrinsic.txt", "extrinsic.txt"):
        (tmp_path / name).write_text((tmp_path / name).read_text(), encoding="utf-16")
    (tmp_path / "prompt.txt").write_bytes("Straße\r\n".encode("utf-8-sig"))
    (tmp_path / "scene.json").write_bytes(b'\xef\xbb\xbf{"fps": 24, "valid_frames": 4.0}')
    scene = read_scene(tmp_path)
    assert (scene.prompt, scene.fps, scene.valid_frames) == ("Straße", 24, 4)
    assert isinstance(scene.valid_frames, int)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"fps": "fast"}', "fps is 'fast', expected a number"),
        ('{"fps": NaN}', "fps is nan"),
        ('{"valid_frames": 2.5}', "valid_frames is 2.5, expected a whole number"),
        ('{"valid_frames": true}', "valid_frames is True"),
        ("[]", "describes no scene"),
    ],
)
def test_settings_that_make_no_sense_are_named(tmp_path, parts, text, message):
    (write_plain(tmp_path, parts) / "scene.json").write_text(text)
    with pytest.raises(ValueError, match=rf"scene\.json.* {message}"):
        read_scene(tmp_path)


def test_a_damaged_depth_picture_is_named(tmp_path, parts):
    write_released(tmp_path, parts)
    path = tmp_path / "depth" / "0003.png"
    for content in (b"", b"\xff\xd8\xffa JPEG", path.read_bytes()[:60]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"0003\.png is not a depth picture that can be read"):
            read_scene(tmp_path)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_anywhere_is_named_or_harmless(tmp_path_factory, parts, data):
    folder = tmp_path_factory.mktemp("damaged")
    if data.draw(st.booleans()):
        write_scene(folder, Scene(**parts, prompt="a room"))
    else:
        write_released(folder, parts)
        (folder / "scene.json").write_text('{"kind": "video", "fps": 15, "valid_frames": 4}')
    file = data.draw(st.sampled_from(sorted(path for path in folder.rglob("*") if path.is_file())))
    content = bytearray(file.read_bytes())
    for at in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=6)):
        content[at] = data.draw(st.integers(0, 255))
    file.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        assert len(read_scene(folder)) == 5
    except (ValueError, FileNotFoundError) as error:
        assert str(folder) in str(error)
