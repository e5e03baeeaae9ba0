"""What a checkpoint is, and whether it is whole."""

import dataclasses
import hashlib

import numpy as np
import pytest
from safetensors.numpy import save_file

from checkpoints.convert import run_conversion
from checkpoints.inspection import inspect_checkpoint
from checkpoints.planning import plan_conversion
from checkpoints.registry import find_models, load_model, load_models
from tests.checkpoints.formats import FORMAT, OTHER, write_model

MODELS = [OTHER, FORMAT]


def test_a_model_folder(model_folder):
    found = inspect_checkpoint(model_folder, MODELS)
    assert found.model == "tiny-world" and found.problems == [] and found.absent == () and found.manifest is None
    assert [network.name for network in found.networks] == ["dit", "vae", "clip"]
    dit, vae, clip = found.networks
    assert (dit.tensors, dit.dtypes, dit.naming, len(dit.files)) == (35, {"bfloat16": 35}, "original", 3)
    assert vae.dtypes == {"float32": 2} and vae.parameters == 27 * 8 + 4
    assert clip.tensors == 2 and clip.files[0].sha256 is None


def test_one_network(model_folder):
    for path, name in ((model_folder / "dit", "dit"), (model_folder / "vae.pth", "vae")):
        found = inspect_checkpoint(path, MODELS)
        assert found.model == "tiny-world" and [network.name for network in found.networks] == [name]
        assert found.problems == []


def test_tensors_of_no_known_model(tmp_path):
    save_file({"a": np.zeros((2, 3), np.float32), "b": np.zeros(1, np.int64)}, tmp_path / "a.safetensors")
    found = inspect_checkpoint(tmp_path / "a.safetensors", MODELS)
    assert found.model is None and found.problems == []
    assert found.networks[0].dtypes == {"float32": 1, "int64": 1} and found.networks[0].parameters == 7
    with pytest.raises(FileNotFoundError):
        inspect_checkpoint(tmp_path / "nowhere", MODELS)


def test_what_is_missing_or_wrong(tmp_path):
    folder = write_model(tmp_path / "model")
    (folder / "vae.pth").unlink()
    (folder / "clip.pth").write_bytes((folder / "clip.pth").read_bytes()[:-5])
    found = inspect_checkpoint(folder, MODELS)
    assert found.absent == ("vae",) and len(found.problems) == 2
    assert "has no vae: vae.pth" in found.problems[0] and "not a whole zip archive" in found.problems[1]


def test_reading_everything(tmp_path):
    folder = write_model(tmp_path / "model")
    digest = hashlib.sha256((folder / "clip.pth").read_bytes()).hexdigest()
    data = bytearray((folder / "vae.pth").read_bytes())
    data[data.index(b"archive/data/0") + 100] ^= 1
    (folder / "vae.pth").write_bytes(data)
    models = [dataclasses.replace(FORMAT, known_files={digest: "CLIP of Tiny World"})]
    assert inspect_checkpoint(folder, models).problems == []
    read = []
    found = inspect_checkpoint(folder, models, verify=True, tell=read.append)
    assert ["checksum" in problem for problem in found.problems] == [True]
    assert found.networks[2].files[0].published == "CLIP of Tiny World"
    assert found.networks[2].files[0].sha256 == digest and found.networks[0].files[0].published is None
    assert sum(read) == sum(
        file.stat().st_size for file in folder.rglob("*") if file.suffix in (".pth", ".safetensors")
    )


def test_a_converted_checkpoint(model_folder, tmp_path):
    out = tmp_path / "out"
    run_conversion(plan_conversion(model_folder, FORMAT, dtype="float32", only=["dit", "vae"]), out)
    found = inspect_checkpoint(out, MODELS, verify=True)
    assert found.model == "tiny-world" and found.manifest.dtype == "float32" and found.absent == ("clip",)
    assert found.problems == [] and found.networks[0].dtypes == {
        "float32": len(found.manifest.components["dit"].arrays)
    }
    array = out / "dit" / "blocks.attn.q.kernel"
    data = (array / "c.2.0.0").read_bytes()
    (array / "c.2.0.0").write_bytes(bytes([data[0] ^ 1]) + data[1:])
    assert inspect_checkpoint(out, MODELS).problems == []
    (problem,) = inspect_checkpoint(out, MODELS, verify=True).problems
    assert "blocks.attn.q.kernel is damaged" in problem and "c.2.0.0" in problem
    (array / "c.2.0.0").write_bytes(data[:-1])
    (array / "c.0.0.0").unlink()
    (array / "c.1.0.0").unlink()
    (out / "vae" / "_METADATA").unlink()
    assert [problem.replace(str(out), "OUT") for problem in inspect_checkpoint(out, MODELS).problems] == [
        "OUT/dit/blocks.attn.q.kernel lacks c.{0-1}.0.0",
        "OUT/dit/blocks.attn.q.kernel/c.2.0.0 does not have 148 bytes",
        "OUT/vae/_METADATA is missing",
    ]


# --- models that are installed ---


@pytest.fixture
def installed(tmp_path, monkeypatch):
    info = tmp_path / "tiny-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[worldkv_jax.checkpoints]\ntiny-world = tests.checkpoints.formats:FORMAT\nlost = no_such_package:FORMAT\n"
        "broken = tests.checkpoints.formats:NOTHING\n"
    )
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("installed")
def test_models_are_found_by_name():
    assert {"tiny-world", "lost"} <= find_models().keys()
    assert load_model("tiny-world") == FORMAT and FORMAT in load_models()
    with pytest.raises(ValueError, match=r"unknown model 'tiny-word'; did you mean 'tiny-world'\?"):
        load_model("tiny-word")
    for name in ("lost", "broken"):
        with pytest.raises(ValueError, match=f"model '{name}' cannot be loaded from"):
            load_model(name)


def test_numbers_that_are_not_finite_are_counted(tmp_path):
    from tests.checkpoints.formats import VAE, VAEConfig, draw

    broken = draw(VAE, VAEConfig(), dtype=np.float32)
    broken["conv.weight"][0, 0, 0, 0, :2] = [np.nan, np.inf]
    save_file(broken, tmp_path / "a.safetensors")
    assert inspect_checkpoint(tmp_path / "a.safetensors", MODELS).problems == []
    said = inspect_checkpoint(tmp_path / "a.safetensors", MODELS, verify=True).problems
    assert said == ["a.safetensors: conv.weight: 2 numbers are not finite (NaN or infinity)"]
    run_conversion(
        plan_conversion(tmp_path / "a.safetensors", FORMAT, dtype="bfloat16", only=["vae"]), tmp_path / "out"
    )
    assert inspect_checkpoint(tmp_path / "out", MODELS, verify=True).problems == [
        "conv/kernel: 2 numbers are not finite (NaN or infinity)"
    ]


def test_adapters_and_wrappers_are_named(tmp_path):
    from tests.checkpoints.formats import VAE, VAEConfig, draw

    save_file({"a.lora_A.weight": np.zeros((2, 2), np.float32)}, tmp_path / "lora.safetensors")
    (problem,) = inspect_checkpoint(tmp_path / "lora.safetensors", MODELS).problems
    assert "these are LoRA weights" in problem
    save_file({f"module.{name}": a for name, a in draw(VAE, VAEConfig()).items()}, tmp_path / "vae.safetensors")
    found = inspect_checkpoint(tmp_path / "vae.safetensors", MODELS)
    assert found.model == "tiny-world" and found.networks[0].naming == "original, after module." and not found.problems
