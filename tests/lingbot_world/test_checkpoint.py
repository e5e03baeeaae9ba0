"""The key table names every tensor of the released transformer, and other models are refused."""

import dataclasses

import jax
import numpy as np
import pytest

from checkpoints.convert import run_conversion
from checkpoints.planning import plan_conversion
from checkpoints.restore import load_params
from checkpoints.weights import open_weights
from ports.lingbot_world.checkpoint import DIT, FORMAT
from ports.lingbot_world.config import TINY, LingBotConfig
from ports.lingbot_world.options import LingBotOptions
from tests.lingbot_world.released_folder import write_transformer
from tests.wan.released import fingerprint, tensors_of

REAL = {"num_heads": 40, "text_len": 512, "sink_size": 3, "model_type": "i2v", "dim": 5120, "eps": 1e-6}
"""What the released class writes to its ``config.json``, in part."""


def test_every_tensor_at_full_size():
    """Count and elements of the released class; some of its shapes (LingBot-World specification, section 2)."""
    targets = tensors_of(DIT, LingBotConfig())
    assert fingerprint(targets)[:2] == (1421, 18_544_332_864)
    assert fingerprint(tensors_of(DIT, LingBotConfig(control="act")))[:2] == (1421, 18_545_643_584)
    shapes = {
        "patch_embedding.weight": (5120, 36, 1, 2, 2),
        "patch_embedding_wancamctrl.weight": (5120, 1536),
        "c2ws_hidden_states_layer2.bias": (5120,),
        "text_embedding.0.weight": (5120, 4096),
        "time_embedding.0.weight": (5120, 256),
        "time_projection.1.weight": (30720, 5120),
        "blocks.39.modulation": (1, 6, 5120),
        "blocks.0.self_attn.norm_q.weight": (5120,),
        "blocks.7.cross_attn.o.weight": (5120, 5120),
        "blocks.0.ffn.0.weight": (13824, 5120),
        "blocks.0.norm3.bias": (5120,),
        "blocks.0.cam_injector_layer1.weight": (5120, 5120),
        "blocks.0.cam_shift_layer.bias": (5120,),
        "head.modulation": (1, 2, 5120),
        "head.head.weight": (64, 5120),
    }
    assert {key: targets[key].shape for key in shapes} == shapes


@pytest.mark.parametrize("config", [LingBotConfig(), LingBotConfig(control="act"), TINY])
def test_sizes_are_read_off_the_tensors(config):
    shapes = {key: target.shape for key, target in tensors_of(DIT, config).items()}
    settings = {"num_heads": config.heads, "text_len": config.text_rows}
    found = DIT.configure(shapes, settings)
    assert dataclasses.replace(found, dtype=config.dtype) == config
    assert DIT.from_json(DIT.to_json(found)) == found


def test_without_settings_heads_are_as_wide_as_the_released_ones():
    shapes = {key: target.shape for key, target in tensors_of(DIT, LingBotConfig()).items()}
    assert DIT.configure(shapes, {}) == LingBotConfig()
    assert DIT.configure(shapes, REAL | {"sink_size": 6}).sink_frames == 6


@pytest.mark.parametrize(
    ("change", "settings", "says"),
    [
        ({"patch_embedding_wancamctrl.weight": (48, 999)}, {}, "takes 999 features; LingBot-World-Fast takes 1536"),
        ({}, {"dim": 64}, "dim is 64, not 48"),
        ({}, {"model_type": "t2v"}, "model_type is 't2v'"),
        ({}, {"eps": 1e-5}, "eps is 1e-05"),
    ],
)
def test_other_models_are_refused(change, settings, says):
    shapes = {key: target.shape for key, target in tensors_of(DIT, TINY).items()} | change
    with pytest.raises(ValueError, match=says):
        DIT.configure(shapes, {"num_heads": 4} | settings)


def test_a_released_folder_has_three_networks_and_may_have_a_tiny_decoder():
    assert FORMAT.name == "lingbot-world-fast"
    optional = {component.name: component.optional for component in FORMAT.components}
    assert optional == {"dit": False, "vae": False, "text_encoder": False, "taehv": True}


@pytest.mark.parametrize("place", ["lingbot_world_fast", "transformer", "."])
@pytest.mark.parametrize("shards", [1, 3])
def test_folders_that_a_transformer_may_lie_in(tmp_path, place, shards):
    """As released, as diffusers lays models out, or on its own; in one file or in several."""
    write_transformer(tmp_path / place, shards=shards, sink_size=6)
    found = dataclasses.replace(open_weights(tmp_path, DIT).config, dtype="float32")
    assert found == dataclasses.replace(TINY, sink_frames=6)


def test_a_converted_checkpoint_gives_the_same_parameters(tmp_path):
    write_transformer(tmp_path / "released/lingbot_world_fast")
    run_conversion(plan_conversion(tmp_path / "released", FORMAT, only=["dit"]), tmp_path / "converted")
    (config, want), (again, got) = (load_params(tmp_path / name, DIT) for name in ("released", "converted"))
    assert again == config
    jax.tree.map(np.testing.assert_array_equal, got, want)


@pytest.mark.long
def test_a_checkpoint_in_eight_bits_opens_as_one(tmp_path):
    write_transformer(tmp_path / "released/lingbot_world_fast")
    run_conversion(plan_conversion(tmp_path / "released", FORMAT, dtype="int8", only=["dit"]), tmp_path / "int8")

    def check(ckpt, **options):
        return LingBotOptions(ckpt=str(tmp_path / ckpt), frames=9, **options).check(weights=False, decode=False)

    stored, rounded = check("int8"), check("released", weights="int8")
    assert stored.backbone == rounded.backbone and stored.backbone.config.weights == "int8"
    assert check("int8", weights="int8").backbone == stored.backbone
    assert stored.cost == dataclasses.replace(rounded.cost, rounding_bytes=0) and rounded.cost.rounding_bytes
    with pytest.raises(
        ValueError, match="`weights` fp8, but the checkpoint was converted to int8: leave `weights` out"
    ):
        check("int8", weights="fp8")
