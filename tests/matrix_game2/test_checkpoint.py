"""The key table names every tensor of the released transformers; other variants and models are refused by name."""

import dataclasses

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from checkpoints.convert import run_conversion
from checkpoints.export import export_checkpoint
from checkpoints.planning import plan_conversion
from checkpoints.restore import load_params
from ports.matrix_game2.checkpoint import FORMATS, configure, dit_component
from ports.matrix_game2.variants import GTA_DRIVE, TEMPLERUN, UNIVERSAL, VARIANTS
from tests.matrix_game2.released_folder import tiny_config, write_folder, write_transformer
from tests.matrix_game2.worlds import SIZES
from tests.wan.released import fingerprint, tensors_of

each_variant = pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
RELEASED = {
    "universal": (1114, 1_619_242_304, "d2ef2a469ea32a5f"),
    "gta_drive": (1114, 1_619_238_464, "5bd9a1b19c7ae8d0"),
    "templerun": (964, 1_508_715_584, "fbdf0c3528052eb9"),
}
"""Tensors, their elements, and a hash of their names and shapes, of the released classes."""


@each_variant
def test_every_tensor_at_full_size(variant):
    targets = tensors_of(dit_component(variant), variant.configure())
    assert fingerprint(targets) == RELEASED[variant.name]
    assert all(key.startswith("model.") for key in targets)
    assert {target.layer for key, target in targets.items() if ".action_model." in key} == set(range(15))


@each_variant
def test_sizes_are_read_off_the_tensors(variant):
    for config, heads in ((variant.configure(), {}), (variant.configure(**SIZES), {"num_heads": SIZES["heads"]})):
        shapes = {key: target.shape for key, target in tensors_of(dit_component(variant), config).items()}
        found = configure(shapes, heads)
        assert dataclasses.replace(found, dtype=config.dtype) == config
        component = dit_component(variant)
        assert component.from_json(component.to_json(found)) == found


def shapes_of(variant, **sizes):
    config = variant.configure(**{**SIZES, **sizes})
    return {key: target.shape for key, target in tensors_of(dit_component(variant), config).items()}


@pytest.mark.parametrize(
    ("found", "wanted", "message"),
    [
        (
            GTA_DRIVE,
            UNIVERSAL,
            "2 keys and a mouse, those of variant 'gta_drive', but variant 'universal' takes 4 keys",
        ),
        (TEMPLERUN, GTA_DRIVE, "7 keys and no mouse, those of variant 'templerun'"),
        (UNIVERSAL, TEMPLERUN, "give templerun_distilled_model/templerun_7dim_onlykey.safetensors"),
    ],
)
def test_another_variant_is_named(found, wanted, message):
    with pytest.raises(ValueError) as error:
        dit_component(wanted).configure(shapes_of(found), {})
    assert message in str(error.value)
    with pytest.raises(ValueError, match=f"those of variant {found.name!r}"):
        dit_component(wanted).from_json(dataclasses.asdict(found.configure()))


def test_the_foundation_model_is_refused():
    whole = shapes_of(UNIVERSAL, action_layers=SIZES["layers"])
    for shapes, settings in ((whole, {}), (shapes_of(UNIVERSAL), {"local_attn_size": -1})):
        with pytest.raises(ValueError, match=r"the foundation model.*base_distill\.safetensors"):
            configure(shapes, settings)


def test_a_model_with_other_keys_must_tell_its_window():
    shapes = shapes_of(UNIVERSAL, keyboard_columns=9)
    with pytest.raises(ValueError, match="local_attn_size"):
        configure(shapes, {})
    assert configure(shapes, {"local_attn_size": 9, "num_heads": SIZES["heads"]}).window_frames == 9
    with pytest.raises(ValueError, match="9 keys and a mouse, no released variant's"):
        dit_component(UNIVERSAL).configure(shapes, {"local_attn_size": 9})


def test_the_released_folder_holds_all_variants(tmp_path):
    folder = write_folder(tmp_path, *VARIANTS.values())
    for variant in VARIANTS.values():
        config, params = load_params(folder, dit_component(variant))
        assert dataclasses.replace(config, dtype="float32") == tiny_config(variant)
        tensors = load_file(folder / variant.checkpoint)
        norms = params["actions"]["keyboard"]["unused_norms"]["q"]
        np.testing.assert_array_equal(norms[1], tensors["model.blocks.1.action_model.key_attn_q_norm.weight"])
        with pytest.raises(ValueError, match=f"those of variant '{variant.name}'"):
            other = TEMPLERUN if variant is not TEMPLERUN else UNIVERSAL
            load_params(folder / variant.checkpoint, dit_component(other))


def test_there_and_back_bit_for_bit(tmp_path):
    """Norm weights that no pass applies come back too."""
    folder = write_folder(tmp_path / "released", GTA_DRIVE)
    plan = plan_conversion(folder, FORMATS["gta_drive"])
    assert set(plan.matches) == {"dit", "vae", "clip", "taehv"}
    run_conversion(plan, tmp_path / "converted")
    _, direct = load_params(folder, dit_component(GTA_DRIVE))
    _, converted = load_params(tmp_path / "converted", dit_component(GTA_DRIVE))
    jax.tree.map(np.testing.assert_array_equal, converted, direct)
    with pytest.raises(ValueError, match="those of variant 'gta_drive', but variant 'universal'"):
        load_params(tmp_path / "converted", dit_component(UNIVERSAL))
    export_checkpoint(tmp_path / "converted", tmp_path / "back.safetensors", dit_component(GTA_DRIVE))
    given, back = (load_file(path) for path in (folder / GTA_DRIVE.checkpoint, tmp_path / "back.safetensors"))
    assert given.keys() == back.keys()
    for key in given:
        np.testing.assert_array_equal(back[key], given[key], err_msg=key)


def test_missing_and_strange_tensors_are_listed(tmp_path):
    path = write_transformer(tmp_path / "one.safetensors")
    tensors = load_file(path)
    del tensors["model.blocks.1.action_model.t_qkv.weight"]
    tensors["model.blocks.0.norm1.weight"] = np.ones(4, np.float32)
    save_file(tensors, path)
    with pytest.raises(ValueError) as error:
        load_params(path, dit_component(UNIVERSAL))
    assert "missing: model.blocks.1.action_model.t_qkv.weight" in str(error.value)
    assert "unexpected: model.blocks.0.norm1.weight" in str(error.value)
