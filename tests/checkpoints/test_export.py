"""Converted weights go back to PyTorch's names, shapes and dtypes, bit for bit."""

import jax
import ml_dtypes
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from checkpoints.convert import run_conversion
from checkpoints.export import export_checkpoint, export_params
from checkpoints.planning import plan_conversion
from checkpoints.restore import load_params
from checkpoints.sources import open_source
from tests.checkpoints.formats import CLIP, DIT, FORMAT, VAE, DiTConfig, draw


def same_bits(path, source):
    ours, theirs = open_source(path).tensors, open_source(source).tensors
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert (ours[name].shape, ours[name].dtype) == (tensor.shape, tensor.dtype)
        assert ours[name].open().tobytes() == tensor.open().tobytes()


@pytest.fixture(scope="module")
def converted(model_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("converted") / "out"
    run_conversion(plan_conversion(model_folder, FORMAT), out)
    return out


def test_convert_and_export_give_back_every_bit(model_folder, converted, tmp_path):
    done = export_checkpoint(converted, tmp_path / "dit.safetensors", DIT)
    same_bits(tmp_path / "dit.safetensors", model_folder / "dit")
    assert done.tensors == 35 and done.cast is None and done.size == (tmp_path / "dit.safetensors").stat().st_size
    assert load_file(tmp_path / "dit.safetensors").keys() == open_source(model_folder / "dit").tensors.keys()
    with safe_open(tmp_path / "dit.safetensors", framework="numpy") as file:
        assert file.metadata() == {"format": "pt"}
    export_checkpoint(converted, tmp_path / "vae.safetensors", VAE)
    same_bits(tmp_path / "vae.safetensors", model_folder / "vae.pth")
    done = export_checkpoint(converted, tmp_path / "clip.safetensors", CLIP)
    assert done.left_out == ("textual.head",)


def test_convert_restore_and_export_give_back_every_bit(model_folder, converted, tmp_path):
    for component, source in ((DIT, model_folder / "dit"), (VAE, model_folder / "vae.pth")):
        config, params = load_params(converted, component)
        export_params(tmp_path / "a.safetensors", component, config, params, force=True)
        same_bits(tmp_path / "a.safetensors", source)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn])
def test_every_pattern_of_bits(tmp_path, dtype):
    """Also those that are no number."""
    tensors = draw(DIT, DiTConfig(), dtype=dtype)
    bits = np.random.default_rng(0)
    tensors = {
        key: np.frombuffer(bits.bytes(value.nbytes), value.dtype).reshape(value.shape) for key, value in tensors.items()
    }
    save_file(tensors, tmp_path / "a.safetensors")
    run_conversion(plan_conversion(tmp_path / "a.safetensors", FORMAT), tmp_path / "out")
    export_checkpoint(tmp_path / "out", tmp_path / "b.safetensors", DIT)
    same_bits(tmp_path / "b.safetensors", tmp_path / "a.safetensors")


def test_mixed_dtypes_come_back_as_they_were(tmp_path):
    kinds = [np.float32, np.float16, ml_dtypes.bfloat16]
    tensors = {
        key: value.astype(kinds[index % 3])
        for index, (key, value) in enumerate(draw(DIT, DiTConfig(), dtype=np.float32).items())
    }
    save_file(tensors, tmp_path / "a.safetensors")
    run_conversion(plan_conversion(tmp_path / "a.safetensors", FORMAT), tmp_path / "out")
    export_checkpoint(tmp_path / "out", tmp_path / "b.safetensors", DIT)
    same_bits(tmp_path / "b.safetensors", tmp_path / "a.safetensors")


def test_the_other_naming(tmp_path):
    tensors = draw(DIT, DiTConfig(), naming="other")
    save_file(tensors, tmp_path / "a.safetensors")
    run_conversion(plan_conversion(tmp_path / "a.safetensors", FORMAT), tmp_path / "out")
    export_checkpoint(tmp_path / "out", tmp_path / "b.safetensors", DIT)
    same_bits(tmp_path / "b.safetensors", tmp_path / "a.safetensors")
    config, params = load_params(tmp_path / "out", DIT)
    export_params(tmp_path / "c.safetensors", DIT, config, params, naming="other")
    same_bits(tmp_path / "c.safetensors", tmp_path / "a.safetensors")
    export_params(tmp_path / "d.safetensors", DIT, config, params)
    jax.tree.map(np.testing.assert_array_equal, load_params(tmp_path / "d.safetensors", DIT)[1], params)


def test_a_cast_checkpoint_says_so(model_folder, tmp_path):
    run_conversion(plan_conversion(model_folder, FORMAT, dtype="float32"), tmp_path / "out")
    done = export_checkpoint(tmp_path / "out", tmp_path / "a.safetensors", DIT)
    assert done.cast == "float32"
    with safe_open(tmp_path / "a.safetensors", framework="numpy") as file:
        assert file.metadata() == {"format": "pt", "cast": "to float32; not the original"}
    assert {array.dtype.name for array in load_file(tmp_path / "a.safetensors").values()} == {"float32"}


def test_an_existing_file_is_not_touched(converted, tmp_path, monkeypatch):
    out = tmp_path / "a.safetensors"
    out.write_bytes(b"mine")
    with pytest.raises(FileExistsError, match=r"a.safetensors exists; choose another name, or give --force"):
        export_checkpoint(converted, out, DIT)
    with pytest.raises(FileExistsError, match=r"exists; choose another name$"):
        export_checkpoint(converted, tmp_path, DIT, force=True)

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_checkpoint(converted, out, DIT, force=True, progress=stop)
    assert out.read_bytes() == b"mine" and list(tmp_path.iterdir()) == [out]
    export_checkpoint(converted, out, DIT, force=True)
    assert out.read_bytes() != b"mine"
    monkeypatch.setattr("checkpoints.drafts.shutil.disk_usage", lambda _: type("usage", (), {"free": 10}))
    with pytest.raises(OSError, match="but only 10 are free"):
        export_checkpoint(converted, tmp_path / "b.safetensors", DIT)


def test_parameters_of_another_shape(converted, tmp_path):
    config, params = load_params(converted, VAE)
    with pytest.raises(ValueError, match=r"norm.gamma has shape \(5, 1, 1, 1\), expected \(4, 1, 1, 1\)"):
        export_params(tmp_path / "a.safetensors", VAE, config, params | {"norm": np.zeros(5, np.float32)})
    assert list(tmp_path.iterdir()) == []
