"""`worldkv rollout` and `worldkv plan` of LingBot-World-Fast, on a tiny folder laid out like the released one."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from ports.lingbot_world.config import TINY
from ports.lingbot_world.released_options import ReleasedMemory
from ports.wan.program import weights
from tests.lingbot_world.released_folder import CODER, write_folder, write_transformer
from tests.lingbot_world.test_camera_folder import write as write_cameras
from worldkv_jax import open_model
from worldkv_jax.cli.main import main
from worldkv_jax.media import read_video
from worldkv_jax.sessions import MemoryOptions


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A model folder, a picture and a camera folder."""
    folder = tmp_path_factory.mktemp("lingbot")
    write_folder(folder / "model")
    pixels = np.random.default_rng(0).integers(0, 256, (30, 50, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "picture.png")
    write_cameras(folder / "path", "R_L20_60_", poses=60)
    return folder


def command(place, *flags, **changes):
    """Return a whole command line, with some of its values changed or, if ``None``, left out."""
    values = {
        "--ckpt": place / "model",
        "--image": place / "picture.png",
        "--prompt": "a red door",
        "--trajectory": place / "path",
        "--size": "32*48",
        "--dtype": "float32",
    }
    values |= {f"--{name.replace('_', '-')}": value for name, value in changes.items()}
    words = [word for name, value in values.items() if value is not None for word in (name, str(value))]
    return ["rollout", "lingbot-world-fast", *words, *flags]


def released_command(place, out):
    """The command of the released program's description, with smaller numbers."""
    return [
        *("rollout", "lingbot-world-fast"),
        *("--task", "i2v-A14B", "--size", "32*48", "--ckpt_dir", str(place / "model")),
        *("--image", str(place / "picture.png"), "--prompt", "a red door", "--action_path", str(place / "path")),
        *("--frame_num", "60", "--save_dir", str(out), "--dit_fsdp", "--t5_fsdp", "--ulysses_size", "4"),
        *("--use_retrieval", "--retrieval_frames", "6", "--kv_bank_on_gpu", "--kv_compression_enable"),
        *("--kv_compression_keep_ratio", "0.5", "--kv_compression_at_store", "--kv_compression_pooled"),
    ]


@pytest.mark.slow
def test_the_released_command_works(place, tmp_path, capsys):
    out = tmp_path / "made"
    assert main([*released_command(place, out), "--base_seed", "42", "--dtype", "float32"]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["report.json", "video.mp4"]
    frames, fps = read_video(out / "video.mp4")
    assert fps == 16 and frames.shape == (57, 16, 48, 3) and frames.std() > 0
    report = json.loads((out / "report.json").read_text())
    assert report["weights"] == "loaded"
    assert report["request"]["frames"] == 57 and report["request"]["model"]["dim"] == TINY.dim
    memory = report["memory"]
    assert memory["released_window"] and memory["bank"]["tier"] == "device" and memory["retrieval"]["chunks"] == 2
    assert memory["compression"]["keep_ratio"] == 0.5 and memory["compression"]["pooled"]
    assert [row["frames"] for row in report["chunks"]] == [9, 12, 12, 12, 12]
    assert report["chunks"][4]["retrieved"] == [[1]]
    said = capsys.readouterr().err
    assert "ignored" in said and "--task" in said and "--dit_fsdp" in said and "--ulysses_size" in said


@pytest.mark.slow
def test_own_options_an_embedding_and_a_live_scale(place, tmp_path):
    embedding = tmp_path / "door.npy"
    np.save(embedding, np.random.default_rng(1).normal(size=(5, TINY.text_dim)).astype(np.float32))
    flags = ["--memory", "sliding", "--recent", "3", "--no-decode", "--latents", "--translation-scale", "0.1"]
    for name in ("a", "b"):
        line = command(
            place, *flags, prompt=embedding, trajectory="R20 W", frames="33", resolution="32x64", out=tmp_path / name
        )
        assert main(line) == 0
    made = np.load(tmp_path / "a/latents.npy")
    assert made.shape == (1, 9, 4, 8, 16) and np.isfinite(made).all()
    np.testing.assert_array_equal(made, np.load(tmp_path / "b/latents.npy"))


@pytest.mark.long
def test_a_checkpoint_that_is_steered_by_keys(place, tmp_path):
    path = write_cameras(tmp_path / "path", actions=45)
    line = command(place, "--no-decode", ckpt=_other_control(place), trajectory=path, frames=33, out=tmp_path / "made")
    assert main(line) == 0
    report = json.loads((tmp_path / "made/report.json").read_text())
    assert report["request"]["model"]["control"] == "act" and len(report["chunks"]) == 3


@pytest.mark.long
def test_random_weights_need_no_file_and_say_so(tmp_path, capsys):
    line = ["rollout", "lingbot-world-fast", "--random-weights", "--dim", "128", "--layers", "1", "--no-decode"]
    line += ["--resolution", "32x32", "--frames", "21", "--dtype", "float32", "--out", str(tmp_path), "--latents"]
    assert main(line) == 0
    assert "RANDOM WEIGHTS" in capsys.readouterr().out
    report = json.loads((tmp_path / "random_weights_report.json").read_text())
    assert report["weights"] == "random" and report["request"]["model"]["ffn_dim"] == 345
    assert np.load(tmp_path / "random_weights_latents.npy").shape == (1, 6, 4, 4, 16)


def test_random_weights_and_a_bank_elsewhere_are_checked_without_a_file():
    flags = ReleasedMemory(use_retrieval=True, retrieval_frames=6, kv_bank_on_gpu=True)
    small = {"random_weights": True, "dim": 128, "layers": 1, "frames": 57, "resolution": (32, 32)}
    session = open_model("lingbot-world-fast", **small, released=flags).check(MemoryOptions(tier="pinned_host"))
    assert session.random_weights and "with RANDOM WEIGHTS" in repr(session)
    assert session.backbone.config.ffn_dim == 345
    assert session.memory.bank.tier == "pinned_host" and session.memory.released_window


def test_a_plan_of_the_real_size_needs_no_file(tmp_path, capsys):
    line = ["plan", "lingbot-world-fast", "--frames", "360", "--resolution", "480x832", "--use_retrieval"]
    line += ["--retrieval_frames", "18", "--kv_compression_enable", "--kv_compression_at_store"]
    assert main([*line, "--json", str(tmp_path / "plan.json")]) == 0
    data = json.loads((tmp_path / "plan.json").read_text())
    assert data["chunks"] == 30
    host, device = data["placements"]["pinned_host"], data["placements"]["device"]
    # LingBot-World specification, section 12: 37.09 GB of weights, a bank of 76.7 GB, 27 frames of window.
    assert device["device_bytes"]["weights"] == pytest.approx(37.09e9 + 4 * 73_295_603, rel=1e-3)
    assert host["host_bytes"] == pytest.approx(76.7e9, rel=1e-3)
    assert host["attended_tokens"] == 21 * 1560
    assert "30 chunks" in capsys.readouterr().out


def test_a_checkpoint_is_planned_without_its_weights(place, monkeypatch, capsys):
    monkeypatch.setattr(weights, "load_params", None)
    assert main(["plan", "lingbot-world-fast", "--ckpt", str(place / "model"), "--frames", "81"]) == 0
    assert "7 chunks" in capsys.readouterr().out


def _without(place, name):
    """Copy the model folder without one of its parts."""
    copy = place / f"without_{name.replace('/', '_')}"
    if not copy.exists():
        shutil.copytree(place / "model", copy)
        (shutil.rmtree if (copy / name).is_dir() else type(copy).unlink)(copy / name)
    return copy


def _other_control(place):
    copy = place / "act"
    if not copy.exists():
        shutil.copytree(place / "model", copy)
        shutil.rmtree(copy / "lingbot_world_fast")
        write_transformer(copy / "lingbot_world_fast", dataclasses.replace(TINY, control="act"))
    return copy


RELEASED = ("--use_retrieval", "--retrieval_frames", "18")


@pytest.mark.parametrize(
    ("flags", "changes", "says"),
    [
        ((), {"image": None, "prompt": None}, "--image, --prompt missing"),
        ((), {"image": "nowhere.png"}, "nowhere.png"),
        ((), {"image": __file__}, "is not a picture"),
        ((), {"ckpt": "nowhere"}, "nowhere"),
        ((), {"ckpt": lambda p: _without(p, "lingbot_world_fast")}, "dit: no lingbot_world_fast"),
        ((), {"ckpt": lambda p: _without(p, "Wan2.1_VAE.pth")}, "vae: no Wan2.1_VAE.pth"),
        ((), {"ckpt": lambda p: _without(p, "models_t5_umt5-xxl-enc-bf16.pth")}, "text_encoder: no models_t5"),
        ((), {"ckpt": lambda p: _without(p, "google/umt5-xxl")}, "no tokenizer"),
        ((), {"ckpt": _other_control, "control": "cam"}, "the checkpoint in"),
        ((), {"ckpt": _other_control}, "action.npy is missing"),
        ((), {"size": "480"}, "expected height and width in pixels"),
        ((), {"size": "8*8"}, "expected at least 2 x 2"),
        ((), {"resolution": "40x48"}, "not in multiples of 16 pixels; give 32x48"),
        ((), {"frames": 8}, "less than a chunk of 3 latent frames; give at least 9"),
        ((), {"frames": 0}, "must be at least 1"),
        (RELEASED, {}, "15 latent frames are fewer than the 27 of the released window"),
        (("--profile", "official"), {}, "fewer than the 27"),
        (("--full_kv", "--use_retrieval"), {}, "exclude each other"),
        ((*RELEASED, "--profile", "paper"), {}, "only those of the bank go with them"),
        (("--full_kv", "--tier", "host"), {}, "only those of the bank go with them"),
        (("--random-weights",), {}, "--random-weights and --ckpt exclude each other"),
        (("--layers", "2"), {}, "--layers would change the size of a checkpoint"),
        ((), {"shift": 0}, "shift=0.0 must be positive"),
        ((), {"translation_scale": 0}, "must be a positive number of scene units"),
        ((), {"trajectory": "Q9"}, "unknown move 'Q'"),
        ((), {"prompt": "nowhere.npy"}, "no prompt embedding at nowhere.npy"),
    ],
)
def test_bad_input_is_refused_before_any_weight_is_loaded(place, flags, changes, says, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(weights, "load_params", None)
    changes = {name: value(place) if callable(value) else value for name, value in changes.items()}
    out = tmp_path / "made"
    assert main(command(place, *flags, out=out, **changes)) == 2
    assert says in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.long
def test_the_bank_of_released_flags_may_lie_elsewhere(place, tmp_path):
    flags = ["--use_retrieval", "--retrieval_frames", "6", "--kv_bank_on_gpu", "--tier", "pinned_host", "--no-decode"]
    assert main(command(place, *flags, out=tmp_path)) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["memory"]["bank"]["tier"] == "pinned_host" and report["memory"]["released_window"]


def test_a_long_prompt_is_cut_with_a_warning(place, tmp_path):
    with pytest.warns(UserWarning, match=f"longer than {TINY.text_rows} tokens"):
        assert main(command(place, "--no-decode", prompt="a red door " * 50, frames="9", out=tmp_path)) == 0


def test_the_tiny_coder_is_read_off_its_file(place):
    from checkpoints.weights import open_weights
    from ports.wan.autoencoders import wan_vae

    assert open_weights(place / "model", wan_vae.COMPONENT).config == CODER
