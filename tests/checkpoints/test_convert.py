"""Conversion: every bit, all or nothing, and the same bytes however often it is interrupted."""

import collections
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import jax
import ml_dtypes
import numpy as np
import orbax.checkpoint as ocp
import pytest

from checkpoints import convert, drafts, layout
from checkpoints.convert import run_conversion
from checkpoints.manifest import read_manifest
from checkpoints.parameter_paths import flatten
from checkpoints.planning import plan_conversion
from tests.checkpoints.conftest import contents
from tests.checkpoints.formats import DIT, FORMAT, VAE, DiTConfig, VAEConfig, draw, write_model
from tests.checkpoints.torch_writer import save_torch

ROOT = Path(__file__).parents[2]


def run(source, out, *, dtype=None, only=(), **options):
    return run_conversion(plan_conversion(source, FORMAT, dtype=dtype, only=only), out, **options)


pytestmark = pytest.mark.usefixtures("small_pieces")


def test_the_manifest(model_folder, tmp_path):
    manifest = run(model_folder, tmp_path / "out")
    assert read_manifest(tmp_path / "out") == manifest
    assert manifest.model == "tiny-world" and manifest.dtype is None and manifest.absent == ()
    assert manifest.versions["orbax-checkpoint"] and manifest.versions["jax"] == jax.__version__
    dit = manifest.components["dit"]
    assert dit.config == {"dim": 6, "heads": 2, "layers": 3, "channels": 4} and dit.settings == {"num_heads": 2}
    assert [file.name for file in dit.files] == [
        f"dit/diffusion_pytorch_model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)
    ]
    assert [len(file.sha256) for file in dit.files] == [64] * 3
    assert dit.arrays["blocks/attn/q/kernel"].shape == (3, 6, 6)
    assert dit.tensors["patch_embedding.weight"] == (np.dtype(ml_dtypes.bfloat16), (6, 4, 1, 2, 2))
    assert manifest.components["clip"].left_out == ("textual.head",)
    assert str(tmp_path) not in (tmp_path / "out" / "manifest.json").read_text()  # no places of this machine


def test_published_files_are_recognised(model_folder, tmp_path):
    import dataclasses
    import hashlib

    digest = hashlib.sha256((model_folder / "vae.pth").read_bytes()).hexdigest()
    known = dataclasses.replace(FORMAT, known_files={digest: "the VAE of Tiny World 1.0"})
    manifest = run_conversion(plan_conversion(model_folder, known), tmp_path / "out")
    (file,) = manifest.components["vae"].files
    assert (file.name, file.sha256, file.published) == ("vae.pth", digest, "the VAE of Tiny World 1.0")
    assert manifest.components["clip"].files[0].published is None
    manifest = run(model_folder, tmp_path / "unhashed", hashes=False)
    assert manifest.components["vae"].files[0].sha256 is None


def test_orbax_restores_a_network_as_its_parameters(model_folder, tmp_path):
    run(model_folder, tmp_path / "out", only=["dit"])
    assert read_manifest(tmp_path / "out").absent == ("vae", "clip")
    with ocp.StandardCheckpointer() as checkpointer:
        restored = flatten(checkpointer.restore(tmp_path / "out" / "dit"))
    expected = flatten(DIT.abstract(DiTConfig()))
    assert {path: leaf.shape for path, leaf in restored.items()} == {
        path: leaf.shape for path, leaf in expected.items()
    }
    tensors = draw(DIT, DiTConfig())
    np.testing.assert_array_equal(restored["blocks/attn/v/kernel"][2], tensors["blocks.2.self_attn.v.weight"].T)


def test_casting(model_folder, tmp_path):
    run(model_folder, tmp_path / "out", dtype="float16")
    manifest = read_manifest(tmp_path / "out")
    dtypes = {plan.dtype.name for record in manifest.components.values() for plan in record.arrays.values()}
    assert manifest.dtype == "float16" and dtypes == {"float16"}
    array = layout.StoredArray(tmp_path / "out" / "vae", "norm", manifest.components["vae"].arrays["norm"])
    want = draw(VAE, VAEConfig(), dtype=np.float32)["norm.gamma"].reshape(-1)
    np.testing.assert_array_equal(array.read(), want.astype(np.float16))


def test_a_number_too_large_for_the_dtype_names_the_tensor(tmp_path):
    tensors = draw(VAE, VAEConfig(), dtype=np.float32)
    tensors["norm.gamma"][1] = 1e5
    save_torch(tmp_path / "vae.pth", tensors)
    with pytest.raises(ValueError, match=r"norm.gamma in .*vae.pth: it holds numbers above 65504"):
        run(tmp_path / "vae.pth", tmp_path / "out", dtype="float16")
    assert [path.name for path in tmp_path.iterdir()] == ["vae.pth"]


def test_problems_of_all_networks_come_together(tmp_path):
    folder = write_model(tmp_path / "model")
    tensors = draw(VAE, VAEConfig(), dtype=np.float32)
    save_torch(folder / "vae.pth", tensors | {"more": np.ones(1, np.float32)})
    save_torch(folder / "clip.pth", {"visual.head": np.ones(3, np.float32)})
    with pytest.raises(
        ValueError, match=r"vae.pth is not a whole vae:\n  unexpected: more\n.*clip.pth is not a whole clip"
    ):
        plan_conversion(folder, FORMAT)


# --- all or nothing ---


def test_an_existing_folder_is_not_touched(model_folder, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine").write_text("x")
    with pytest.raises(FileExistsError, match=r"out exists; choose another folder, or replace it with --force"):
        run(model_folder, out)
    assert contents(out) == {"mine": b"x"}
    with pytest.raises(FileExistsError, match=r"out holds what no conversion made and would be lost \(mine\)"):
        run(model_folder, out, force=True)
    assert contents(out) == {"mine": b"x"} and list(tmp_path.iterdir()) == [out]
    (tmp_path / "file").write_text("x")
    with pytest.raises(FileExistsError, match="is a file; give the name of a new folder"):
        run(model_folder, tmp_path / "file", force=True)


def test_what_a_conversion_made_is_replaced_and_nothing_beside_it(model_folder, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    run(model_folder, out, force=True)  # an empty folder holds nothing that could be lost
    made = contents(out)
    for change in (lambda: None, lambda: (out / "manifest.json").write_text("{")):  # whole, and damaged
        change()
        run(model_folder, out, force=True)
        assert contents(out) == made
    for name, text in (("notes.txt", "x"), ("manifest.json", '{"format": "of another program"}')):
        (out / name).write_text(text)
        before = contents(out)
        with pytest.raises(FileExistsError, match="holds what no conversion made"):
            run(model_folder, out, force=True)
        assert contents(out) == before
        (out / "notes.txt").unlink(missing_ok=True)


def test_the_source_is_never_replaced(tmp_path):
    folder = write_model(tmp_path / "a" / "model")
    before = contents(folder)
    for out in (folder, folder / "dit", tmp_path / "a"):
        with pytest.raises(FileExistsError, match="holds the source, which would be replaced"):
            run(folder, out, force=True)
    assert contents(folder) == before


def test_a_replaced_folder_stays_until_the_new_one_is_complete(model_folder, tmp_path, monkeypatch):
    out = tmp_path / "out"
    run(model_folder, out)
    before = contents(out)

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(convert, "write_manifest", stop)
    with pytest.raises(KeyboardInterrupt):
        run(model_folder, out, dtype="float32", force=True)
    assert contents(out) == before


def test_a_full_disk(model_folder, tmp_path, monkeypatch):
    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**6, 10**6 - 10, 10))
    with pytest.raises(OSError, match=r"out needs [\d,]+ bytes, but only 10 are free there"):
        run(model_folder, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_meanwhile(model_folder, tmp_path, monkeypatch):
    write, calls = layout.StoredArray.write, []

    def fill(self, *arguments):
        calls.append(1)
        if len(calls) == 10:
            raise OSError("cannot write there: no space left on device")
        write(self, *arguments)

    monkeypatch.setattr(layout.StoredArray, "write", fill)
    with pytest.raises(OSError, match="no space left"):
        run(model_folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    run(model_folder, tmp_path / "out")  # goes on
    assert 10 < len(calls) < 60


def test_a_damaged_source_leaves_nothing(tmp_path):
    folder = write_model(tmp_path / "model")
    data = bytearray((folder / "vae.pth").read_bytes())
    data[data.index(b"archive/data/0") + 100] ^= 1
    (folder / "vae.pth").write_bytes(data)
    for hashes in (True, False):
        with pytest.raises(ValueError, match=r"vae.pth: the checksum of archive/data/0 is wrong"):
            run(folder, tmp_path / "out", hashes=hashes)
        assert list(tmp_path.iterdir()) == [folder]


def test_a_source_that_changes_meanwhile(tmp_path):
    folder = write_model(tmp_path / "model")

    def change(what, done, total):
        os.utime(folder / "vae.pth", ns=(1, 1))

    with pytest.raises(ValueError, match="was changed while it was converted"):
        run(folder, tmp_path / "out", progress=change)
    assert list(tmp_path.iterdir()) == [folder]


def test_two_at_once(model_folder, tmp_path):
    def convert_too(what, done, total):
        with pytest.raises(BlockingIOError, match="another process is writing"):
            run(model_folder, tmp_path / "out")

    run(model_folder, tmp_path / "out", progress=convert_too)
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_one_that_ends_while_another_begins(model_folder, tmp_path, monkeypatch):
    """The folder that is locked is the one that is there, and not one that its maker has just taken away."""
    lock = drafts.fcntl.flock

    def end_first(descriptor, how):
        monkeypatch.setattr(drafts.fcntl, "flock", lock)
        (tmp_path / ".out.part").rmdir()
        lock(descriptor, how)

    monkeypatch.setattr(drafts.fcntl, "flock", end_first)
    run(model_folder, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_progress_counts_to_the_end(model_folder, tmp_path):
    done, totals = collections.Counter(), {}

    def note(what, size, total):
        done[what] += size
        totals[what] = total

    run(model_folder, tmp_path / "out", progress=note)
    assert done == totals and set(done) == {"checking", "converting"}


# --- interruptions ---


class Stop(BaseException):
    """What no handler expects."""


@pytest.fixture
def undisturbed(model_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    run(model_folder, out)
    return contents(out)


def test_interrupted_everywhere(model_folder, tmp_path, monkeypatch, undisturbed):
    """Each attempt comes one tensor further, and dies before it can note that."""
    note, attempts = drafts.Draft.note, []

    def die(self, *key, value=True):
        if len(self.notes) < len(attempts):
            note(self, *key, value=value)
        else:
            raise Stop

    monkeypatch.setattr(drafts.Draft, "note", die)
    while not (tmp_path / "out").exists():
        try:
            run(model_folder, tmp_path / "out")
        except Stop:
            attempts.append(1)
    assert len(attempts) > 40
    assert contents(tmp_path / "out") == undisturbed and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("force", [False, True])
def test_interrupted_at_the_end(model_folder, tmp_path, monkeypatch, undisturbed, force):
    """Each attempt dies one step later, while folders are renamed."""
    out, rename, calls, attempts = tmp_path / "out", os.rename, [], []
    if force:
        out.mkdir()
        (out / "manifest.json").write_text("x")

    def die(*paths):
        calls.append(1)
        if len(calls) >= len(attempts):
            raise Stop
        rename(*paths)
        calls.append(1)
        if len(calls) >= len(attempts):
            raise Stop

    monkeypatch.setattr(os, "rename", die)
    while not out.exists() or contents(out) != undisturbed:
        calls.clear()
        attempts.append(1)
        with pytest.raises(Stop):
            run(model_folder, out, force=force)
        assert not out.exists() or contents(out) in ({"manifest.json": b"x"}, undisturbed)
    assert len(attempts) == (4 if force else 2)


def test_half_a_line_in_the_journal(model_folder, tmp_path, monkeypatch, undisturbed):
    def stop(*_):
        raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(convert, "write_manifest", stop)
        with pytest.raises(Stop):
            run(model_folder, tmp_path / "out")
    journal = tmp_path / ".out.part" / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    for tail in (lines[-1][:-1], "[[", "\0\0\n", ""):
        journal.write_text("".join(lines[:20]) + tail)
        with monkeypatch.context() as patch:
            patch.setattr(convert, "write_manifest", stop)
            with pytest.raises(Stop):
                run(model_folder, tmp_path / "out")
        assert journal.read_text() == "".join(lines)
    run(model_folder, tmp_path / "out")
    assert contents(tmp_path / "out") == undisturbed


def test_another_conversion_starts_anew(model_folder, tmp_path, monkeypatch, undisturbed):
    def stop(*_):
        raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(convert, "write_manifest", stop)
        with pytest.raises(Stop):
            run(model_folder, tmp_path / "out", dtype="float32")
    run(model_folder, tmp_path / "out")
    assert contents(tmp_path / "out") == undisturbed


def test_a_folder_of_other_origin_is_not_deleted(model_folder, tmp_path):
    (tmp_path / ".out.part").mkdir()
    (tmp_path / ".out.part" / "mine").write_text("x")
    with pytest.raises(FileExistsError, match="has other files; move it away"):
        run(model_folder, tmp_path / "out")
    assert (tmp_path / ".out.part" / "mine").read_text() == "x"


CHILD = """
import os, signal, sys, threading, time
from checkpoints import layout
from checkpoints.convert import run_conversion
from checkpoints.drafts import Draft
from checkpoints.planning import plan_conversion
from tests.checkpoints.formats import FORMAT
layout.PIECE_BYTES = 4096
source, out, share, delay = sys.argv[1:]
converted = 0

def kill():
    time.sleep(float(delay))
    os.kill(os.getpid(), signal.SIGKILL)

def count(what, done, total):
    global converted
    if what == "converting":
        before, converted = converted, converted + done
        if before <= float(share) * total < converted:
            threading.Thread(target=kill).start()  # meanwhile it goes on
            Draft.finish = lambda draft: time.sleep(600)  # but not to its end, however late the thread comes

run_conversion(plan_conversion(source, FORMAT), out, progress=count)
"""


@pytest.mark.long
def test_killed_at_random_moments(tmp_path):
    source = write_model(tmp_path / "model", dim=48, layers=12)

    def start(out, share=2.0, delay=0.0):
        command = [sys.executable, "-c", CHILD, str(source), str(out), str(share), str(delay)]
        return subprocess.run(command, cwd=ROOT, timeout=300).returncode

    assert start(tmp_path / "undisturbed") == 0
    random = np.random.default_rng(0)
    for share in (0.0, 0.2, 0.5, 0.8):
        assert start(tmp_path / "out", share, random.uniform(0, 0.01)) == -signal.SIGKILL
        assert not (tmp_path / "out").exists()
    assert start(tmp_path / "out") == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "undisturbed")
    assert not (tmp_path / ".out.part").exists()


def test_the_manifest_is_json_for_others(model_folder, tmp_path):
    run(model_folder, tmp_path / "out")
    data = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert data["format"] == "worldkv-jax checkpoint" and data["version"] == 1
    assert data["components"]["dit"]["tensors"]["head.1.scale"] == {"dtype": "bfloat16", "shape": []}
    for damage in ({"version": 2}, {"components": {"dit": {}}}, {"components": 3}, {"absent": 1}):
        (tmp_path / "out" / "manifest.json").write_text(json.dumps(data | damage))
        with pytest.raises(ValueError, match=r"manifest.json.*convert again"):
            read_manifest(tmp_path / "out")
