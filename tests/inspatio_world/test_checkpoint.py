"""The key table of InSpatio-World at its real size, and settings that do not fit."""

import json

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from checkpoints.restore import load_params
from checkpoints.weights import open_weights
from ports.inspatio_world.checkpoint import DIT, UMT5, VAE, WAN_FOLDER, configure, tokenizer_folder
from ports.inspatio_world.config import TINY, InSpatioConfig
from tests.wan.released import convert, fingerprint, tensors_of

RELEASED = (825, 1_419_119_680, "467e1f8c2ffed911")
"""Number of tensors and of weights, and a hash of keys and shapes (InSpatio-World specification, section 2)."""


def test_key_table_names_every_tensor():
    assert fingerprint(tensors_of(DIT, InSpatioConfig())) == RELEASED


def shapes(config):
    return {key: target.shape for key, target in tensors_of(DIT, config).items()}


def test_sizes_come_from_the_tensors():
    released = {"num_heads": 12, "in_dim": 16, "text_len": 512, "model_type": "t2v", "dim": 1536}
    assert configure(shapes(InSpatioConfig()), released) == InSpatioConfig()
    settings = {"num_heads": TINY.heads, "text_len": TINY.text_rows}
    got = configure(shapes(TINY), settings)
    assert DIT.from_json(DIT.to_json(got)) == got
    assert (got.dim, got.layers, got.heads, got.text_rows) == (TINY.dim, TINY.layers, TINY.heads, TINY.text_rows)


@pytest.mark.parametrize("settings", [{"model_type": "i2v"}, {"num_layers": 40}, {"eps": 1e-5}])
def test_settings_of_another_model_are_refused(settings):
    with pytest.raises(ValueError, match="is not that of InSpatio-World"):
        configure(shapes(TINY), settings)


def test_missing_tensors_are_told():
    with pytest.raises(KeyError):
        configure({}, {})


SETTINGS = {"num_heads": TINY.heads, "text_len": TINY.text_rows}


@pytest.fixture
def tensors():
    rng = np.random.default_rng(0)
    return {key: rng.normal(size=shape).astype(np.float32) for key, shape in shapes(TINY).items()}


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("name", ["InSpatio-World-1.3B", "InSpatio-World-1.5-1.3B"])
def test_released_folders_are_loaded(tmp_path, tensors, name, nested):
    folder = tmp_path / name if nested else tmp_path
    folder.mkdir(exist_ok=True)
    save_file(tensors, folder / f"{name}.safetensors")
    (folder / "config.json").write_text(json.dumps(SETTINGS))
    config, params = load_params(tmp_path, DIT)
    _, want = convert(DIT, tensors, SETTINGS)
    assert (config.dim, config.layers) == (TINY.dim, TINY.layers)
    jax.tree.map(np.testing.assert_array_equal, params, want)


def test_loading_is_strict(tmp_path, tensors):
    del tensors["model.blocks.1.norm3.bias"]
    save_file({**tensors, "model.extra": np.zeros(3, np.float32)}, tmp_path / "InSpatio-World-1.3B.safetensors")
    with pytest.raises(ValueError, match=r"(?s)model\.blocks\.1\.norm3\.bias.*model\.extra|extra.*norm3"):
        load_params(tmp_path, DIT)


def test_two_versions_in_one_folder_are_told(tmp_path, tensors):
    for name in ("InSpatio-World-1.3B", "InSpatio-World-1.5-1.3B"):
        save_file(tensors, tmp_path / f"{name}.safetensors")
    with pytest.raises(ValueError, match="has 2 files"):
        open_weights(tmp_path, DIT)


def test_wan_may_lie_in_its_own_folder(tmp_path):
    assert tokenizer_folder(tmp_path) == tmp_path
    (tmp_path / WAN_FOLDER).mkdir()
    assert tokenizer_folder(tmp_path) == tmp_path / WAN_FOLDER
    assert f"{WAN_FOLDER}/Wan2.1_VAE.pth" in VAE.files
    assert any(file.startswith(f"{WAN_FOLDER}/models_t5") for file in UMT5.files)
