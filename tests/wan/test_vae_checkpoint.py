"""What a released VAE holds, in both namings, and the way into parameters and back."""

import dataclasses
import json

import numpy as np
import pytest

from ports.wan.autoencoders import wan_vae
from tests.wan.released import convert, fingerprint, paths, tensors_of

TINY = wan_vae.VAEConfig(dim=3)


@pytest.mark.parametrize(("naming", "hashed"), [("original", "6d12bd5199d9dcd5"), ("diffusers", "6157cf3f708d689b")])
def test_every_tensor_of_the_released_vae_has_its_place(naming, hashed):
    assert fingerprint(tensors_of(wan_vae.COMPONENT, wan_vae.VAEConfig(), naming)) == (194, 126_892_531, hashed)


@pytest.mark.parametrize(
    ("original", "diffusers"),
    [
        ("conv1.weight", "quant_conv.weight"),
        ("conv2.bias", "post_quant_conv.bias"),
        ("encoder.conv1.weight", "encoder.conv_in.weight"),
        ("encoder.downsamples.5.time_conv.weight", "encoder.down_blocks.5.time_conv.weight"),
        ("encoder.downsamples.10.residual.6.weight", "encoder.down_blocks.10.conv2.weight"),
        ("decoder.middle.0.residual.0.gamma", "decoder.mid_block.resnets.0.norm1.gamma"),
        ("decoder.middle.1.to_qkv.weight", "decoder.mid_block.attentions.0.to_qkv.weight"),
        ("decoder.upsamples.4.shortcut.weight", "decoder.up_blocks.1.resnets.0.conv_shortcut.weight"),
        ("decoder.upsamples.7.resample.1.weight", "decoder.up_blocks.1.upsamplers.0.resample.1.weight"),
        ("decoder.upsamples.14.residual.3.gamma", "decoder.up_blocks.3.resnets.2.norm2.gamma"),
        ("decoder.head.0.gamma", "decoder.norm_out.gamma"),
        ("decoder.head.2.weight", "decoder.conv_out.weight"),
    ],
)
def test_both_namings_lead_to_the_same_parameter(original, diffusers):
    ours, theirs = (tensors_of(wan_vae.COMPONENT, TINY, naming) for naming in ("original", "diffusers"))
    assert ours[original] == theirs[diffusers]
    assert {t.path for t in ours.values()} == {t.path for t in theirs.values()}


@pytest.mark.parametrize("naming", ["original", "diffusers"])
def test_tensors_come_back_bit_for_bit(naming):
    generator = np.random.default_rng(0)
    targets = tensors_of(wan_vae.COMPONENT, TINY, naming)
    tensors = {key: generator.standard_normal(t.shape).astype(np.float32) for key, t in targets.items()}
    _, params = convert(wan_vae.COMPONENT, tensors, TINY, naming)
    leaves = paths(params)
    for key, target in targets.items():
        np.testing.assert_array_equal(target.transform.undo(np.asarray(leaves[target.path])), tensors[key], err_msg=key)


@pytest.mark.parametrize(
    "config",
    [
        wan_vae.VAEConfig(),
        TINY,
        wan_vae.VAEConfig(dim=4, dim_mult=(1, 2, 2, 3), temporal_downsample=(True, False, True)),
    ],
)
def test_the_configuration_is_read_off_the_shapes_and_kept_as_json(config):
    shapes = {key: target.shape for key, target in tensors_of(wan_vae.COMPONENT, config).items()}
    assert wan_vae.COMPONENT.configure(shapes, {}) == config
    kept = json.loads(json.dumps(wan_vae.COMPONENT.to_json(config)))
    assert wan_vae.COMPONENT.from_json(kept) == config
    other = dataclasses.replace(config, decoder_rule="inspatio")
    assert wan_vae.COMPONENT.from_json(wan_vae.COMPONENT.to_json(other)) == other
