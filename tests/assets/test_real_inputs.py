"""Real inputs of this field, where they are at hand: pictures, paths, walks, a clip and a file that PyTorch wrote."""

import zipfile

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from checkpoints.sources import open_source
from worldkv_jax.cameras import DEFAULT_SIZE, check_lens, latent_poses, relative, relative_to_first, translation_scale
from worldkv_jax.cameras.formats import read_cameras, write_cameras
from worldkv_jax.cameras.formats.minecraft import read_actions
from worldkv_jax.cli.main import main
from worldkv_jax.media import read_picture, read_video
from worldkv_jax.memory import CameraDistance, KVSpec
from worldkv_jax.readers import read_json, read_text, text_or_file
from worldkv_jax.rollout import chunk_inputs

pytestmark = pytest.mark.assets

SPEC = KVSpec(layers=1, heads=1, head_dim=8, tokens_per_frame=1, chunk_frames=3)


def test_pictures(assets):
    """JPEG and WebP under names that say PNG, and PNG."""
    sizes = {
        "lingbot_world/00/image.jpg": (720, 1280),
        "matrix_game2/universal/0010.webp": (338, 600),
        "matrix_game2/universal/0015.png": (388, 690),
        "matrix_game2/temple_run/0000.png": (570, 900),
    }
    for name, size in sizes.items():
        pixels = read_picture(assets / name)
        assert pixels.shape == (*size, 3) and pixels.dtype == np.uint8 and 20 < pixels.mean() < 235
    assert {path.read_bytes()[:2] for path in (assets / "matrix_game2").rglob("*.png")} == {b"\xff\xd8", b"\x89P"}
    for path in (assets / "matrix_game2").rglob("*.png"):
        assert read_picture(path).ndim == 3


def test_texts_and_settings(assets):
    prompt = assets / "lingbot_world" / "00" / "prompt.txt"
    assert text_or_file(str(prompt)) == read_text(prompt).strip() and len(read_text(prompt)) > 50
    assert read_json(assets / "matrix_game2" / "configs" / "universal.config.json")["in_dim"] > 0


@pytest.mark.parametrize(("name", "count"), [("lingbot_world/00", 961), ("lingbot_world/01", 561), ("telefuser", 269)])
def test_lingbot_paths(assets, recwarn, name, count):
    cameras = read_cameras(assets / name)
    assert len(cameras) == count and cameras.size == DEFAULT_SIZE and not cameras.notes
    check_lens(cameras.intrinsics, DEFAULT_SIZE)
    assert not len(recwarn)


def test_a_path_that_begins_5700_units_out_gives_the_same_chunks_as_at_the_origin(assets):
    poses = read_cameras(assets / "lingbot_world" / "01").poses
    assert np.linalg.norm(poses[0, :3, 3]) > 5000
    there, here = (latent_poses(path, 141) for path in (poses, relative(poses[0], poses)))
    chunks = [np.stack([chunk.cameras for chunk in chunk_inputs(path, SPEC)]) for path in (there, here)]
    np.testing.assert_allclose(chunks[0], chunks[1], atol=2e-4)  # of 200 units
    scales = [translation_scale(relative_to_first(path, framewise=True)) for path in (there, here)]
    assert scales[0] == pytest.approx(scales[1], rel=1e-6)


def test_walks_are_retrieved_out_and_back(assets, tmp_path):
    """Of the way there, the chunk that looked where the way back looks is the nearest one."""
    rule = CameraDistance()
    walks = sorted((assets / "realestate10k").glob("*.txt"))
    assert len(walks) == 5
    for walk in walks:
        cameras = read_cameras(walk)
        assert len(cameras) == 16 and cameras.times[-1] > cameras.times[0]
        assert 40 < np.degrees(2 * np.arctan(0.5 / cameras.intrinsics[0, 0])) < 110
        out = latent_poses(cameras.poses, 24)
        chunks = [chunk.cameras[0] for chunk in chunk_inputs(np.concatenate([out, out[::-1]]), SPEC)]
        index = jnp.stack([rule.describe(chunk, None) for chunk in chunks[:8]])
        for back, chunk in enumerate(chunks[8:]):
            scores = rule.score(rule.describe(chunk, None), index, jnp.ones(8, bool))
            assert int(scores.argmin()) == 7 - back and float(scores.min()) < 1e-3
        copy = write_cameras(tmp_path / walk.name, cameras, format="realestate10k")
        np.testing.assert_allclose(read_cameras(copy).poses, cameras.poses, atol=1e-5)


def test_minecraft_actions(assets):
    expected = {"test_camera_ur": (0, 5, 5), "test_forward_camera_l": (64, 0, -5), "test_back_left": (0, 0, 0)}
    for name, (forward, up, right) in expected.items():
        actions = read_actions(assets / "matrix_game2" / "bench76" / f"{name}.jsonl")
        assert actions.turn.shape == (65, 2) and actions.keys["forward"].sum() >= forward
        np.testing.assert_array_equal(actions.turn[1], (up, right))
    walked = read_cameras(assets / "matrix_game2" / "bench76" / "test_forward.jsonl").poses
    assert walked[-1, 2, 3] > 1 and abs(walked[-1, 0, 3]) < 1e-9


def test_latents_that_pytorch_wrote(assets):
    path = assets / "taehv" / "test_latents_wan.pth"
    source = open_source(path)
    (tensor,) = source.tensors.values()
    assert tensor.shape == (1, 16, 16, 40, 64) and tensor.dtype == ml_dtypes.bfloat16
    with zipfile.ZipFile(path) as archive:
        raw = next(archive.read(name) for name in archive.namelist() if name.endswith("data/0"))
    np.testing.assert_array_equal(tensor.open(), np.frombuffer(raw, ml_dtypes.bfloat16).reshape(tensor.shape))
    assert np.isfinite(tensor.open().astype(np.float32)).all() and 0.3 < tensor.open().astype(np.float32).std() < 3
    source.verify()


def test_clips(assets):
    for name, shape, fps in (
        ("telefuser/dag.mp4", (81, 464, 832, 3), 16),
        ("taehv/decoded_taew2_1.mp4", (81, 480, 832, 3), 30),
    ):
        frames, rate = read_video(assets / name, limit=81)
        assert frames.shape == shape and rate == fps and frames.std() > 10
        assert np.abs(np.diff(frames[:9, ::8, ::8].astype(int), axis=0)).mean() > 0  # no frame twice


@pytest.mark.parametrize("name", ["lingbot_world/00", "telefuser", "realestate10k/0bf152ef84195293.txt"])
def test_the_command_shows_what_a_path_holds(assets, name, capsys, tmp_path):
    assert main(["cameras", str(assets / name), "--plot", str(tmp_path / "a.png")]) == 0
    assert "extent: " in capsys.readouterr().out and read_picture(tmp_path / "a.png").shape[2] == 3


def test_what_is_no_path_is_named(assets, capsys):
    for name, message in (("telefuser/dag.mp4", "an MP4"), ("telefuser/stream_controls.json", "frames")):
        assert main(["cameras", str(assets / name)]) == 2
        assert message in capsys.readouterr().err
