"""`worldkv rollout` and `worldkv plan` of Matrix-Game 2.0, on a tiny folder laid out like the released one."""

import io
import json

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from ports.wan.program import weights
from tests.matrix_game2.released_folder import write_folder
from worldkv_jax.cli.main import main
from worldkv_jax.media import read_video


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A model folder and a picture."""
    folder = tmp_path_factory.mktemp("matrix_game")
    write_folder(folder / "model")
    pixels = np.random.default_rng(0).integers(0, 256, (30, 50, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "picture.png")
    return folder


def command(place, *flags, **changes):
    """Return a whole command line, with some of its values changed or, if ``None``, left out."""
    values = {
        "--ckpt": place / "model",
        "--image": place / "picture.png",
        "--actions": "W L2",
        "--size": "32x48",
        "--dtype": "float32",
    }
    values |= {f"--{name.replace('_', '-')}": value for name, value in changes.items()}
    words = [word for name, value in values.items() if value is not None for word in (name, str(value))]
    return ["rollout", "matrix-game-2", *words, *flags]


@pytest.mark.slow
def test_a_script_is_played(place, tmp_path, capsys):
    out = tmp_path / "made"
    assert main([*command(place), "--memory", "worldkv", "--retrieve", "1", "--out", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["report.json", "video.mp4"]
    frames, fps = read_video(out / "video.mp4")
    assert fps == 12 and frames.shape == (9 + 12 + 12, 32, 48, 3) and frames.std() > 0
    report = json.loads((out / "report.json").read_text())
    assert report["weights"] == "loaded" and report["request"]["variant"] == "universal"
    assert report["request"]["units"]["degrees_per_mouse_unit"] == 15 and not report["request"]["units"]["calibrated"]
    assert "not published for this model" in capsys.readouterr().err


@pytest.mark.long
def test_actions_typed_live_are_those_of_a_script(place, tmp_path, monkeypatch, capsys):
    flags = ["--memory", "sliding", "--no-decode", "--latents"]
    typed = "w\nx\n\nL\n"  # an unknown key is asked for again, and an empty line repeats
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    assert main([*command(place, actions="-", chunks=5), *flags, "--out", str(tmp_path / "live")]) == 0
    said = capsys.readouterr().err
    assert "chunk 0, keys W S A D" in said and "unknown key 'x'" in said
    assert main([*command(place, actions="W2 L"), *flags, "--out", str(tmp_path / "script")]) == 0
    live, script = (np.load(tmp_path / name / "latents.npy") for name in ("live", "script"))
    assert live.shape == (1, 9, 4, 6, 16)
    np.testing.assert_allclose(live, script, atol=1e-5)


@pytest.mark.slow
def test_two_worlds_of_one_picture(place, tmp_path):
    out = tmp_path / "made"
    flags = ["--actions", "S", "--memory", "sliding", "--no-decode", "--latents", "--out", str(out)]
    assert main([*command(place, actions="W"), *flags]) == 0
    assert np.load(out / "latents.npy").shape == (2, 3, 4, 6, 16)


@pytest.mark.slow
def test_the_tiny_decoder(place, tmp_path):
    out = tmp_path / "made"
    flags = ["--decoder", "taehv", "--memory", "sliding", "--out", str(out)]
    assert main([*command(place, actions="W2"), *flags]) == 0
    assert len(read_video(out / "video.mp4")[0]) == 21


@pytest.mark.long
def test_a_tiny_run_without_files(tmp_path, capsys):
    out = tmp_path / "made"
    flags = ["--variant", "templerun", "--tiny", "--chunks", "2", "--size", "32x32", "--no-decode", "--latents"]
    assert main(["rollout", "matrix-game-2", *flags, "--out", str(out)]) == 0
    assert (out / "random_weights_latents.npy").exists()
    said = capsys.readouterr()
    assert "RANDOM WEIGHTS" in said.out and "templerun has its native window" in said.err


def plan(*flags, path):
    assert main(["plan", "matrix-game-2", *flags, "--json", str(path)]) == 0
    return json.loads(path.read_text())


def test_plans_of_the_real_size(tmp_path, capsys):
    walk = plan(path=tmp_path / "a.json")
    assert walk["memory"]["mode"] == "worldkv"
    drive = plan("--variant", "gta_drive", "--memory", "sliding", path=tmp_path / "b.json")
    assert drive["memory"]["recent_frames"] == 1
    run = plan("--variant", "templerun", path=tmp_path / "c.json")
    assert run["memory"]["mode"] == "sliding" and run["memory"]["recent_frames"] == 3
    sizes = {
        name: p["placements"]["device"]["device_bytes"] for name, p in (("walk", walk), ("drive", drive), ("run", run))
    }
    assert sizes["walk"]["own keys and values"] == 486_604_800
    assert sizes["drive"]["window"] == 162_201_600 and sizes["run"]["window"] == 486_604_800
    # Weights in bfloat16 beside the decoder, and two windows of mouse and keyboard.
    assert 3_238_484_608 < sizes["walk"]["weights"] < 3_238_484_608 + 200e6
    assert sizes["walk"]["carry"] == 2 * 15 * 3 * (21_626_880 + 24_576) // 6
    # A chunk in the native window: three or four passes and the clean one, and decoding.
    flops = run["placements"]["device"]["chunk_flops"] - 23e12
    assert flops == pytest.approx(5 * (6.60 + 0.25 + 0.13 + 2.57) * 1e12, rel=0.02)
    assert "time floor" in capsys.readouterr().out


BAD_FILES = {
    "two_keys.npz": {"keyboard": np.zeros((21, 2)), "mouse": np.zeros((21, 2))},
    "short.npz": {"keyboard": np.zeros((20, 4)), "mouse": np.zeros((20, 2))},
    "nan.npz": {"keyboard": np.full((21, 4), np.nan), "mouse": np.zeros((21, 2))},
    "no_mouse.npz": {"keyboard": np.zeros((21, 4))},
    "runner.npz": {"keyboard": np.zeros((21, 7)), "mouse": np.zeros((21, 2))},
    "strange.npz": {"keys": np.zeros((21, 4))},
}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"ckpt": None}, "--ckpt missing"),
        ({"image": None, "actions": None}, "--image, --actions missing"),
        ({"actions": "W X"}, "word 2 of the script of actions: unknown key 'x'"),
        ({"actions": "walk.txt"}, "--actions: no file walk.txt"),
        ({"actions": "random:x"}, "random:SEED"),
        ({"actions": "-"}, "--actions - needs --chunks"),
        ({"actions": "two_keys.npz"}, "2 columns, but variant 'universal' has 4"),
        ({"actions": "short.npz"}, "20 rows of actions do not match the frames of whole chunks"),
        ({"actions": "nan.npz"}, "row 0 of the keyboard has nan"),
        ({"actions": "no_mouse.npz"}, "needs a mouse"),
        ({"actions": "runner.npz", "variant": "templerun"}, "'templerun' has no mouse"),
        ({"actions": "strange.npz"}, "holds keys; expected keyboard [n, 4] and mouse [n, 2]"),
        ({"actions": "absent.npz"}, "absent.npz is not there; expected arrays of actions"),
        ({"chunks": 0}, "--chunks 0 must be at least 1 and at most 100,000"),
        ({"size": "30x48"}, "not in multiples of 16 pixels; give 32x48"),
        ({"size": "big"}, "expected height and width"),
        ({"fps": 0}, "--fps 0"),
        ({"step": -1}, "step=-1.0 must be a positive number"),
        ({"image": "absent.png"}, "absent.png is not there; expected a picture"),
        ({"variant": "gta_drive", "actions": "W"}, "gta_distilled_model/gta_keyboard2dim.safetensors"),
        (
            {"ckpt": "model/base_distilled_model", "variant": "templerun", "actions": "Q"},
            "those of variant 'universal'",
        ),
    ],
)
def test_bad_input_is_refused_before_weights_are_loaded(place, tmp_path, monkeypatch, capsys, changes, says):
    for name, arrays in BAD_FILES.items():
        np.savez(tmp_path / name, **arrays)
    for name, value in changes.items():
        if isinstance(value, str) and value.endswith(".npz"):
            changes = {**changes, name: tmp_path / value}
        if name == "ckpt" and value:
            changes = {**changes, name: place / value}
    monkeypatch.setattr(weights, "load_params", None)
    assert main([*command(place, **changes), "--out", str(tmp_path / "out")]) != 0
    assert says in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_worlds_must_match(place, capsys):
    line = [*command(place), "--image", str(place / "picture.png"), "--actions", "W", "--actions", "Q", "--chunks", "2"]
    assert main(line) != 0
    assert "2 pictures but 3 actions" in capsys.readouterr().err
    assert main([*command(place), "--actions", "W"]) != 0
    assert "different numbers of chunks, [1, 3]" in capsys.readouterr().err


def test_actions_from_files(tmp_path):
    from ports.matrix_game2.action_sources import read_actions
    from ports.matrix_game2.actions import rows_of_keys
    from ports.matrix_game2.variants import GTA_DRIVE, UNIVERSAL

    want = rows_of_keys(UNIVERSAL, ["w", "wl"])
    np.savez(tmp_path / "a.npz", keyboard=want.keyboard, mouse=want.mouse)
    save_file({"keyboard": want.keyboard, "mouse": want.mouse}, tmp_path / "a.safetensors")
    (tmp_path / "a.txt").write_text("W  # ahead\nWL\n")
    for name in ("a.npz", "a.safetensors", "a.txt"):
        got = read_actions(UNIVERSAL, str(tmp_path / name))
        np.testing.assert_array_equal(got.keyboard, want.keyboard)
        np.testing.assert_array_equal(got.mouse, want.mouse)
    notes = []
    longer = read_actions(UNIVERSAL, "W WL", chunks=3, tell=notes.append)
    assert len(longer.keyboard) == 33 and not longer.keyboard[21:].any()
    assert len(read_actions(UNIVERSAL, "W9", chunks=1, tell=notes.append).keyboard) == 9
    assert [note.partition(": ")[2] for note in notes] == [
        "nothing is pressed in the others",
        "the others are left out",
    ]
    assert len(read_actions(GTA_DRIVE, "random:4", chunks=2).keyboard) == 21
