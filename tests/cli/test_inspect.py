"""The command worldkv inspect."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.checkpoints.formats import write_model
from tests.cli.test_convert import installed  # noqa: F401
from worldkv_jax.cli.main import main

pytestmark = pytest.mark.usefixtures("installed")


@pytest.fixture
def model(tmp_path):
    return write_model(tmp_path / "model")


def test_a_model_folder(model, capsys):
    assert main(["inspect", str(model)]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"{model}: PyTorch checkpoint, tiny-world\n")
    assert "bfloat16 x35" in text and "original" in text
    assert text.endswith("whole (as far as sizes and headers tell)\n")


def test_reading_everything(model, capsys):
    assert main(["inspect", str(model), "--verify"]) == 0
    text = capsys.readouterr().out
    assert "sha256 " in text and "not a published file known here" in text
    assert text.endswith("whole; all data is as its checksums say\n")


def test_a_converted_checkpoint(model, tmp_path, capsys):
    out = tmp_path / "out"
    main(["convert", "tiny-world", str(model), str(out), "--dtype", "bf16", "--only", "dit", "vae"])
    capsys.readouterr()
    assert main(["inspect", str(out), "--verify"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"{out}: converted checkpoint, tiny-world\n")
    assert "not there: clip" in text and "cast to bfloat16; written by worldkv-jax" in text
    (out / "vae" / "norm" / "c.0").unlink()
    assert main(["inspect", str(out)]) == 2
    assert capsys.readouterr().err == f"error: {out} is not whole:\n{out}/vae/norm lacks c.0\n"


def test_tensors_of_no_known_model(tmp_path, capsys):
    save_file({"a": np.zeros(3, np.float32)}, tmp_path / "a.safetensors")
    assert main(["inspect", str(tmp_path / "a.safetensors")]) == 0
    text = capsys.readouterr().out
    assert "of no model known here" in text and "unknown" in text and "float32 x1" in text


def test_what_is_wrong_is_an_error(model, tmp_path, capsys):
    (model / "vae.pth").unlink()
    assert main(["inspect", str(model)]) == 2
    said = capsys.readouterr()
    assert "has no vae" in said.err and "bfloat16 x35" in said.out
    for path, message in [(tmp_path / "nowhere", "does not exist"), (tmp_path, "has no tensors")]:
        assert main(["inspect", str(path)]) == 2
        assert message in capsys.readouterr().err
