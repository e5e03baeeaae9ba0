"""`worldkv rollout` and `worldkv plan`, with the shipped demo world as their model."""

import json

import numpy as np
import pytest

from worldkv_jax.cli.main import main
from worldkv_jax.media import read_video
from worldkv_jax.sessions import Session

SHORT = ["--trajectory", "R120_L120", "--degrees-per-frame", "15"]


@pytest.mark.long
def test_a_rollout_writes_video_latents_and_report(tmp_path, capsys):
    out = tmp_path / "made"
    flags = ["--retrieve", "2", "--keep-ratio", "0.5", "--tier", "host", "--worlds", "2", "--latents"]
    assert main(["rollout", "demo-world", *SHORT, *flags, "--out", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["latents.npy", "report.json", "video_0.mp4", "video_1.mp4"]
    report = json.loads((out / "report.json").read_text())
    chunks = len(report["chunks"])
    frames, fps = read_video(out / "video_1.mp4")
    assert frames.shape == (3 * chunks, 256, 384, 3) and fps == 12
    assert np.load(out / "latents.npy").shape == (2, 3 * chunks, 8, 12, 20)
    assert report["memory"]["retrieval"]["chunks"] == 2 and report["memory"]["compression"]["keep_ratio"] == 0.5
    assert report["plan"]["tier"] == "host" and report["weights"] == "loaded"
    assert report["model"] == "demo-world" and report["seed"] == 0
    assert 0 < report["latency"]["median_seconds"] <= report["latency"]["largest_seconds"]
    assert [row["index"] for row in report["chunks"]] == list(range(chunks))
    last = report["chunks"][-1]
    assert np.shape(last["retrieved"]) == (2, 2) and set(last["kv_bytes"]) == {"device", "host"}
    assert all(row["seconds"] > 0 and row["frames"] == 3 for row in report["chunks"])
    assert "frames a second" in capsys.readouterr().out


def test_the_same_seed_makes_the_same_latents(tmp_path):
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        command = ["rollout", "demo-world", *SHORT, "--memory", "sliding", "--no-decode", "--latents"]
        assert main([*command, "--seed", seed, "--out", str(tmp_path / name)]) == 0
        assert not (tmp_path / name / "video.mp4").exists()
    a, b, c = (np.load(tmp_path / name / "latents.npy") for name in "abc")
    np.testing.assert_array_equal(a, b)
    assert np.abs(a - c).max() > 0.01


def test_a_plan_compares_placements(tmp_path, capsys):
    assert main(["plan", "demo-world", *SHORT, "--retrieve", "2", "--json", str(tmp_path / "plan.json")]) == 0
    text = capsys.readouterr().out
    assert "bank in device" in text and "bank in pinned_host" in text and "time floor" in text
    placements = json.loads((tmp_path / "plan.json").read_text())["placements"]
    assert placements["device"]["total_bytes"] != placements["pinned_host"]["total_bytes"]


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--memory", "full", "--retrieve", "3"], "--memory full has no bank, so --retrieve means nothing"),
        (["--profile", "papr"], "did you mean 'PAPER'"),
        (["--retrieve", "99"], "chunks the bank can ever hold"),
        (["--keep-ratio", "2"], "keep_ratio=2.0 is outside"),
        (["--trajectory", "Q7"], "Q7"),
        (["--worlds", "0"], "at least one world"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_made(flags, says, tmp_path, capsys):
    out = tmp_path / "made"
    assert main(["rollout", "demo-world", *SHORT, *flags, "--out", str(out)]) == 2
    assert says in capsys.readouterr().err
    assert not out.exists()


def test_too_little_memory_brings_the_advice_of_the_plan(tmp_path, capsys, monkeypatch):
    def load(self):
        raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.\nwhere")

    monkeypatch.setattr(Session, "load", load)
    assert main(["rollout", "demo-world", *SHORT, "--memory", "full", "--out", str(tmp_path / "made")]) == 2
    said = capsys.readouterr().err
    assert "out of memory (RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.): use --memory worldkv" in said


def test_a_second_run_never_overwrites_the_first(tmp_path, capsys):
    out = tmp_path / "made"
    for _ in range(2):
        assert main(["rollout", "demo-world", "--trajectory", "L30", "--no-decode", "--out", str(out)]) == 0
    assert "holds an earlier result" in capsys.readouterr().err
    assert (out / "report.json").exists() and (tmp_path / "made-2/report.json").exists()


def test_unknown_models_are_refused(capsys):
    with pytest.raises(SystemExit):
        main(["rollout", "demo-wrld"])
    assert "demo-world" in capsys.readouterr().err
