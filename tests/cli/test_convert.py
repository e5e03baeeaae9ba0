"""The commands worldkv convert and worldkv export, and what they say when something is wrong."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.checkpoints.conftest import contents
from tests.checkpoints.formats import DIT, DiTConfig, draw, write_model
from worldkv_jax.cli.main import main

ROOT = Path(__file__).parents[2]


@pytest.fixture
def installed(tmp_path_factory, monkeypatch):
    """A package that brings the small model and another one."""
    folder = tmp_path_factory.mktemp("site")
    info = folder / "tiny-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny\nVersion: 1\n")
    lines = ["tiny-world = tests.checkpoints.formats:FORMAT", "other-world = tests.checkpoints.formats:OTHER"]
    (info / "entry_points.txt").write_text("\n".join(["[worldkv_jax.checkpoints]", *lines, ""]))
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", f"{folder}:{ROOT}")
    return folder


@pytest.fixture
def model(tmp_path, installed):
    return write_model(tmp_path / "model")


def test_convert(model, tmp_path, capsys):
    assert main(["convert", "tiny-world", str(model), str(tmp_path / "out")]) == 0
    said = capsys.readouterr()
    assert f"wrote {tmp_path / 'out'}" in said.out and "takes 32.0 MiB of memory" in said.out
    assert said.err.count("warning: ") == 5 and "vae.pth is not among the published files known here" in said.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "out"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["clip", "dit", "manifest.json", "vae"]


def test_casting_and_choosing(model, tmp_path, capsys):
    argv = ["convert", "tiny-world", str(model), str(tmp_path / "out"), "--dtype", "f16", "--only", "dit", "--no-hash"]
    assert main(argv) == 0
    said = capsys.readouterr()
    assert "not converted: vae, clip" in said.out and said.err == ""
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["dtype"] == "float16" and list(manifest["components"]) == ["dit"]


def test_published_files_are_named(model, tmp_path, capsys, monkeypatch):
    from tests.checkpoints.formats import OTHER

    digest = hashlib.sha256((model / "vae.pth").read_bytes()).hexdigest()
    monkeypatch.setitem(OTHER.known_files, digest, "the VAE that both models have")
    assert main(["convert", "tiny-world", str(model / "vae.pth"), str(tmp_path / "out")]) == 0
    said = capsys.readouterr()
    assert f"vae.pth: the VAE that both models have (sha256 {digest})" in said.out and said.err == ""


def test_a_dry_run_reports_and_writes_nothing(model, tmp_path, capsys):
    before = contents(tmp_path)
    assert main(["convert", "tiny-world", str(model), "--dry-run", "--dtype", "f32"]) == 0
    text = capsys.readouterr().out
    assert "  blocks.{0-2}.self_attn.q.weight -> blocks/attn/q/kernel [3, 6, 6] float32\n" in text
    assert "  textual.head -> left out\n" in text and "reads " in text
    assert contents(tmp_path) == before and [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["tiny-word", "{model}", "{out}"], "error: unknown model 'tiny-word'; did you mean 'tiny-world'?"),
        (["tiny-world", "{model}"], "error: OUT is missing"),
        (["tiny-world", "{model}/nowhere", "{out}"], "nowhere does not exist; expected the folder or file"),
        (["tiny-world", "{model}", "{out}", "--only", "ema"], "error: tiny-world has no ema; it has dit, vae, clip"),
        (["tiny-world", "{model}", "{model}"], "model exists; choose another folder, or replace it with --force"),
        (["other-world", "{model}/vae.pth", "{out}"], "it looks like the vae of tiny-world"),
        (["tiny-world", "{model}/vae.pth", "{out}", "--only", "dit"], "is not a whole dit; it looks like the vae"),
    ],
)
def test_errors_of_the_user(model, tmp_path, capsys, argv, message):
    before = contents(tmp_path)
    argv = [word.format(model=model, out=tmp_path / "out") for word in argv]
    assert main(["convert", *argv]) == 2
    assert message in capsys.readouterr().err
    assert contents(tmp_path) == before and not (tmp_path / "out").exists()


def damaged(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 255
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda model: damaged(model / "vae.pth"), "vae.pth"),
        (
            lambda model: (model / "vae.pth").write_bytes((model / "vae.pth").read_bytes()[:-9]),
            "not a whole zip archive",
        ),
        (lambda model: next((model / "dit").glob("*2-of*")).unlink(), "00002-of-00003.safetensors is missing"),
        (lambda model: (model / "clip.pth").write_bytes(b"\x80\x02cos\nsystem\n."), "before 1.6"),
        (lambda model: save_file({"a": np.ones(1)}, model / "vae.pth"), "missing: norm.gamma, which decides a size"),
    ],
)
def test_bad_files(model, tmp_path, capsys, change, message):
    change(model)
    assert main(["convert", "tiny-world", str(model), str(tmp_path / "out")]) == 2
    text = capsys.readouterr().err
    assert text.startswith("error: ") and message in text and "Traceback" not in text
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.long
def test_interrupted_and_continued(installed, tmp_path):
    """Ctrl-C leaves no OUT, and the same command goes on."""
    model = write_model(tmp_path / "model", dim=48, layers=12)
    # A job in the background of a shell ignores interrupts, and so would what it starts.
    program = (
        "import os, signal, sys, time; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from checkpoints.drafts import Draft; note = Draft.note; "
        "Draft.note = lambda draft, *key, **value: (note(draft, *key, **value), wait(draft))[0]; "
        "wait = lambda draft: time.sleep(600) if 'WAIT' in os.environ and len(draft.notes) == 12 else None; "
        "from worldkv_jax.cli.main import main; sys.exit(main())"
    )
    waiting = {**os.environ, "WAIT": "1"}  # after a dozen notes: else it may be done before it is interrupted
    command = [sys.executable, "-c", program, "convert", "tiny-world", str(model), str(tmp_path / "out")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=waiting) as child:
        journal = tmp_path / ".out.part" / "journal.jsonl"
        while not journal.exists() or len(journal.read_text().splitlines()) < 12:
            assert child.poll() is None
            time.sleep(0.01)
        child.send_signal(signal.SIGINT)
        assert child.communicate(timeout=300)[1].endswith("interrupted\n") and child.returncode == 130
    assert not (tmp_path / "out").exists()
    assert subprocess.run(command, capture_output=True, timeout=300).returncode == 0
    assert (tmp_path / "out").exists() and not (tmp_path / ".out.part").exists()


# --- export ---


@pytest.fixture
def converted(model, tmp_path, capsys):
    assert main(["convert", "tiny-world", str(model), str(tmp_path / "out")]) == 0
    capsys.readouterr()
    return tmp_path / "out"


def test_export_one_network(converted, tmp_path, capsys):
    file = tmp_path / "dit.safetensors"
    assert main(["export", str(converted), str(file), "--only", "dit"]) == 0
    assert capsys.readouterr().out == f"wrote {file}: 35 tensors, {file.stat().st_size / 1000:.1f} kB\n"
    for name, want in draw(DIT, DiTConfig()).items():
        np.testing.assert_array_equal(load_file(file)[name], want)


def test_export_all_networks(converted, tmp_path, capsys):
    assert main(["export", str(converted), str(tmp_path / "torch")]) == 0
    assert sorted(path.name for path in (tmp_path / "torch").iterdir()) == [
        "clip.safetensors",
        "dit.safetensors",
        "vae.safetensors",
    ]
    assert "without 1 tensors of the original that the network does not need" in capsys.readouterr().out
    # What was exported can be converted again, but for its names.
    assert main(["convert", "tiny-world", str(tmp_path / "torch" / "vae.safetensors"), str(tmp_path / "again")]) == 0


def test_export_says_what_was_cast(model, tmp_path, capsys):
    main(["convert", "tiny-world", str(model), str(tmp_path / "out"), "--dtype", "f32", "--only", "dit"])
    assert main(["export", str(tmp_path / "out"), str(tmp_path / "a.safetensors")]) == 0
    assert "not the original: weights were cast to float32" in capsys.readouterr().out


def test_export_errors(converted, tmp_path, capsys):
    for argv, message in [
        ([str(converted), "a.safetensors"], "is one file, but there are dit, vae, clip; give a folder, or choose"),
        ([str(converted), "a", "--only", "ema"], "unknown part 'ema'"),
        ([str(tmp_path), "a"], "is no converted checkpoint: it has no manifest.json"),
        ([str(converted), str(converted / "manifest.json"), "--only", "dit"], "file exists"),
    ]:
        assert main(["export", *argv]) == 2
        assert message in capsys.readouterr().err


def test_eight_bits_that_no_network_can_be_in(model, tmp_path, capsys):
    assert main(["convert", "tiny-world", str(model), str(tmp_path / "out"), "--dtype", "int8"]) == 2
    assert "cannot be in int8: no network of tiny-world can; cast to bfloat16 (bf16)" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
