"""Conversion to eight bits: the bits that rounding at load finds, in half of the bytes, piece by piece."""

import json
import math

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from checkpoints import drafts
from checkpoints.components import ModelFormat
from checkpoints.convert import run_conversion
from checkpoints.eight_bits import DTYPES, RoundedKernel
from checkpoints.export import export_checkpoint
from checkpoints.inspection import inspect_checkpoint
from checkpoints.manifest import read_manifest
from checkpoints.parameter_paths import flatten
from checkpoints.planning import plan_conversion
from checkpoints.restore import load_params
from checkpoints.sources import open_source
from ports.inspatio_world import checkpoint as inspatio
from ports.inspatio_world import config as inspatio_config
from ports.lingbot_world import checkpoint as lingbot
from ports.lingbot_world import config as lingbot_config
from ports.matrix_game2 import checkpoint as matrix_game
from ports.matrix_game2 import config as matrix_game_config
from ports.wan.autoencoders import wan_vae
from ports.wan.nn.quantized import quantize_blocks
from tests.checkpoints.conftest import contents
from tests.checkpoints.formats import draw

MODELS = {
    "lingbot-world": (lingbot.DIT, lingbot_config.TINY),
    "inspatio-world": (inspatio.DIT, inspatio_config.TINY),
    "matrix-game-2": (matrix_game.UNIVERSAL_FORMAT.components[0], matrix_game_config.TINY),
}


def write(folder, component, config, dtype=ml_dtypes.bfloat16):
    folder.mkdir()
    save_file(draw(component, config, dtype=dtype), folder / "a.safetensors")
    names = {"num_heads": "heads", "text_len": "text_rows", "local_attn_size": "window_frames"}
    said = {name: getattr(config, field) for name, field in names.items() if hasattr(config, field)}
    (folder / "config.json").write_text(json.dumps(said))
    return folder


def plan(source, component, kind):
    return plan_conversion(source, ModelFormat(name="one", components=(component,)), dtype=kind)


def check_same(got, want):
    assert jax.tree.structure(got) == jax.tree.structure(want)
    for (path, ours), theirs in zip(jax.tree.leaves_with_path(got), jax.tree.leaves(want), strict=True):
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype), path
        assert np.asarray(ours).tobytes() == np.asarray(theirs).tobytes(), path


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kind", ["int8", "fp8"])
def test_the_same_bits_as_rounding_at_load(name, kind, tmp_path):
    component, config = MODELS[name]
    source = write(tmp_path / "source", component, config)
    run_conversion(plan(source, component, kind), tmp_path / "out")
    found, got = load_params(tmp_path / "out", component, dtype=jnp.bfloat16)
    plain, whole = load_params(source, component, dtype=jnp.bfloat16)
    assert (found.weights, plain.weights, found.dim) == (kind, None, config.dim)
    check_same(got, quantize_blocks(whole, kind))
    assert quantize_blocks(got, kind)["blocks"]["ffn"] == got["blocks"]["ffn"], "rounded twice"
    assert not inspect_checkpoint(tmp_path / "out", verify=True).problems


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("dtype", [np.float32, pytest.param(ml_dtypes.bfloat16, marks=pytest.mark.long)])
def test_in_pieces_and_from_float32_too(dtype, tmp_path):
    component, config = MODELS["lingbot-world"]
    source = write(tmp_path / "source", component, config, dtype)
    run_conversion(plan(source, component, "int8"), tmp_path / "out")
    got, whole = load_params(tmp_path / "out", component)[1], load_params(source, component)[1]
    check_same(got, quantize_blocks(whole, "int8"))


def test_half_of_the_bytes(tmp_path):
    config = lingbot_config.LingBotConfig()  # as released: what is not in the blocks is a hundredth
    leaves = flatten(lingbot.DIT.abstract(lingbot.DIT.in_eight_bits(config, "int8")))
    # As planned from bfloat16 files: what is in eight bits says so, all else keeps what the source has.
    width = {path: leaf.dtype.itemsize if "/kernel/" in path else 2 for path, leaf in leaves.items()}
    rounded = sum(leaf.size * width[path] for path, leaf in leaves.items())
    before = sum(2 * leaf.size for leaf in flatten(lingbot.DIT.abstract(config)).values())
    assert 0.5 < rounded / before < 0.51
    component, config = MODELS["lingbot-world"]
    planned = plan(write(tmp_path / "source", component, config), component, "int8").arrays["dit"]
    assert {path: plan.dtype.itemsize for path, plan in planned.items()} == {
        path: leaf.dtype.itemsize if "/kernel/" in path else 2
        for path, leaf in flatten(component.abstract(component.in_eight_bits(config, "int8"))).items()
    }


def test_interrupted_conversions_end_with_the_same_bytes(tmp_path, monkeypatch):
    component, config = MODELS["lingbot-world"]
    source = write(tmp_path / "source", component, config)
    run_conversion(plan(source, component, "fp8"), tmp_path / "at once")
    note, left = drafts.Draft.note, 30

    def die(self, *key, value=True):
        nonlocal left
        left -= 1
        if not left:
            raise KeyboardInterrupt
        note(self, *key, value=value)

    monkeypatch.setattr(drafts.Draft, "note", die)
    with pytest.raises(KeyboardInterrupt):
        run_conversion(plan(source, component, "fp8"), tmp_path / "out")
    run_conversion(plan(source, component, "fp8"), tmp_path / "out")
    assert contents(tmp_path / "out") == contents(tmp_path / "at once")


def test_the_manifest_and_an_export_say_what_there_is(tmp_path):
    component, config = MODELS["lingbot-world"]
    source = write(tmp_path / "source", component, config)
    run_conversion(plan(source, component, "int8"), tmp_path / "out")
    manifest = read_manifest(tmp_path / "out")
    weights = sum(math.prod(target.shape) for target in component.tensors(config).values())
    assert (manifest.dtype, manifest.components["dit"].parameters) == ("int8", weights)
    assert manifest.components["dit"].config["weights"] == "int8"
    export_checkpoint(tmp_path / "out", tmp_path / "back.safetensors", component)
    ours, theirs = (open_source(path).tensors for path in (tmp_path / "back.safetensors", source))
    name = "blocks.1.ffn.0.weight"
    assert {key for key in ours.keys() - theirs.keys()} == {
        f"{key}_scale" for key in theirs if key.startswith("blocks") and theirs[key].shape == (config.dim,) * 2
    } | {f"blocks.{layer}.ffn.{part}.weight_scale" for layer in range(config.layers) for part in (0, 2)}
    want = theirs[name].open().astype(np.float32)
    step = ours[f"{name}_scale"].open()
    assert ours[name].dtype == np.int8 and (np.abs(ours[name].open() * step - want) <= 0.51 * step).all()


def test_what_cannot_be_rounded_is_refused(tmp_path):
    shape = wan_vae.VAEConfig(dim=4)
    save_file(draw(wan_vae.COMPONENT, shape, dtype=np.float32), tmp_path / "vae.safetensors")
    with pytest.raises(ValueError, match=r"vae cannot be in int8: no network of one can; cast to bfloat16 \(bf16\)"):
        plan(tmp_path / "vae.safetensors", wan_vae.COMPONENT, "int8")
    two = ModelFormat(name="two", components=(lingbot.DIT, wan_vae.COMPONENT))
    with pytest.raises(ValueError, match="vae cannot be in fp8: only dit of two can"):
        plan_conversion(tmp_path / "vae.safetensors", two, dtype="fp8", only=["vae"])
    component, config = MODELS["lingbot-world"]
    source = write(tmp_path / "source", component, config)
    tensors = dict(draw(component, config))
    tensors["blocks.1.ffn.0.weight"][0, 0] = np.nan
    save_file(tensors, source / "a.safetensors")
    with pytest.raises(ValueError, match=r"blocks.1.ffn.0.weight in .*: it holds numbers that are not finite"):
        run_conversion(plan(source, component, "int8"), tmp_path / "out")


def test_a_row_of_zeros_and_rows_that_are_cut():
    kernel = np.random.default_rng(0).normal(size=(8, 6)).astype(np.float32)
    kernel[:, 2] = 0
    rounded = RoundedKernel(kernel, DTYPES["int8"])
    whole = rounded[:, :]
    assert (whole[2] == 0).all() and rounded.scale[2] == 1 and np.abs(whole).max() == 127
    np.testing.assert_array_equal(rounded[1:4, 2:5], whole[1:4, 2:5])
