"""The key tables of all ports through the whole path: PyTorch file, converted checkpoint, device, and back."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from checkpoints.components import ModelFormat
from checkpoints.convert import run_conversion
from checkpoints.export import export_checkpoint
from checkpoints.planning import plan_conversion
from checkpoints.registry import find_models, load_models
from checkpoints.restore import load_params
from checkpoints.sources import open_source
from ports.inspatio_world import checkpoint as inspatio
from ports.inspatio_world import config as inspatio_config
from ports.lingbot_world import checkpoint as lingbot
from ports.lingbot_world import config as lingbot_config
from ports.matrix_game2 import checkpoint as matrix_game
from ports.matrix_game2 import config as matrix_game_config
from ports.wan.autoencoders import taehv, wan_vae
from ports.wan.encoders import clip, umt5
from tests.checkpoints.formats import draw
from tests.checkpoints.torch_writer import save_torch

LINGBOT = Path(__file__).parents[1] / "goldens" / "lingbot_world" / "h_ckpt"  # saved by the released code
CLIP = clip.CLIPConfig(image_size=28, dim=160, heads=2, layers=3, mlp_dim=16, out_dim=8)
UMT5 = umt5.UMT5Config(vocabulary=32, dim=8, attention_dim=8, ffn_dim=16, heads=2, layers=3)
CASES = {
    "vae": (wan_vae.COMPONENT, wan_vae.VAEConfig(dim=4), "original"),
    "vae-diffusers": (wan_vae.COMPONENT, wan_vae.VAEConfig(dim=4), "diffusers"),
    "umt5": (umt5.COMPONENT, UMT5, "original"),
    "umt5-transformers": (umt5.COMPONENT, UMT5, "transformers"),
    "clip": (clip.COMPONENT, CLIP, "original"),
    "taehv": (taehv.COMPONENT, taehv.TAEHVConfig(encoder_width=4, decoder_widths=(8, 4, 4, 4)), "original"),
}


def check(source, component, tmp_path):
    """Convert, load and export; return the configuration and the parameters."""
    model = ModelFormat(name="one", components=(component,))
    run_conversion(plan_conversion(source, model), tmp_path / "out")
    config, params = load_params(tmp_path / "out", component)
    same_config, same_params = load_params(source, component)
    assert config == same_config
    assert jax.tree.structure(params) == jax.tree.structure(component.abstract(config))
    jax.tree.map(np.testing.assert_array_equal, params, same_params)
    export_checkpoint(tmp_path / "out", tmp_path / "back.safetensors", component)
    theirs, ours = open_source(source).tensors, open_source(tmp_path / "back.safetensors").tensors
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert (ours[name].shape, ours[name].dtype) == (tensor.shape, tensor.dtype)
        assert ours[name].open().tobytes() == tensor.open().tobytes()
    return config, params


@pytest.mark.parametrize("name", CASES)
def test_networks_that_models_share(tmp_path, name):
    component, config, naming = CASES[name]
    tensors = draw(component, config, naming=naming, dtype=np.float32)
    save_torch(tmp_path / "a.pth", tensors)
    assert check(tmp_path / "a.pth", component, tmp_path)[0] == config


def test_a_transformer_that_the_released_code_saved(tmp_path):
    config, params = check(LINGBOT, lingbot.DIT, tmp_path)
    assert (config.dim, config.heads, config.layers, config.text_rows) == (24, 2, 2, 6)
    want = open_source(LINGBOT).tensors["blocks.1.ffn.0.weight"].open().T
    np.testing.assert_array_equal(params["blocks"]["ffn"]["first"]["kernel"][1], want)


@pytest.mark.parametrize(
    ("component", "config"),
    [
        (lingbot.DIT, lingbot_config.TINY),
        (inspatio.DIT, inspatio_config.TINY),
        (matrix_game.UNIVERSAL_FORMAT.components[0], matrix_game_config.TINY),
    ],
    ids=["lingbot-world", "inspatio-world", "matrix-game-2"],
)
def test_transformers(tmp_path, component, config):
    folder = tmp_path / "source"
    folder.mkdir()
    save_file(draw(component, config), folder / "a.safetensors")
    names = {"num_heads": "heads", "text_len": "text_rows", "local_attn_size": "window_frames"}
    said = {name: getattr(config, field) for name, field in names.items() if hasattr(config, field)}
    (folder / "config.json").write_text(json.dumps(said))
    found, _ = check(folder, component, tmp_path)
    assert (found.dim, found.heads, found.layers) == (config.dim, config.heads, config.layers)


def test_all_ports_are_installed():
    assert set(find_models()) >= {"lingbot-world-fast", "inspatio-world", "wan-vae", "umt5-xxl", "clip-vit-h-14"}
    names = {model.name for model in load_models()}
    assert {model.name for model in matrix_game.FORMATS.values()} <= names
