"""Checkpoints of the Wan 2.1 VAE: which PyTorch tensor is which parameter, in both namings."""

from collections.abc import Mapping
from typing import Any

from checkpoints.components import Component, Shapes
from checkpoints.key_tables import Row, Transform, conv, patch, squeeze
from ports.wan.autoencoders.wan_vae.api import abstract_params
from ports.wan.autoencoders.wan_vae.config import VAEConfig

TIME_CONV = Transform("time_conv", lambda a: a.transpose(3, 4, 2, 1, 0), lambda a: a.transpose(4, 3, 2, 0, 1))
"""``[out, in, frames, rows, columns]`` to ``[rows, columns, frames, in, out]``."""
FRAME_CONV = conv(2)
POINT_3D, POINT_2D = patch((1, 1, 1)), patch((1, 1))
"""Convolutions of single pixels, which are linear maps of channels."""
GAMMA_3D, GAMMA_2D = squeeze(trailing=3), squeeze(trailing=2)
"""Norms, stored with as many axes after their channels as what they scale."""

SIDE = "{side:encoder|decoder}"
PARTS = ("residual.0", "residual.2", "residual.3", "residual.6", "shortcut")
"""What a residual block's norms, convolutions and shortcut are called."""
DIFFUSERS_PARTS = ("norm1", "conv1", "norm2", "conv2", "conv_shortcut")
STAGES = range(4)


def layer(key: str, path: str, transform: Transform) -> tuple[Row, ...]:
    """Return the rows of a layer with kernel and bias."""
    return Row(f"{key}.weight", f"{path}/kernel", transform), Row(f"{key}.bias", f"{path}/bias")


def gamma(key: str, path: str, transform: Transform = GAMMA_3D) -> Row:
    """Return the row of a norm."""
    return Row(f"{key}.gamma", f"{path}/gamma", transform)


def residual(key: str, path: str, parts: tuple[str, ...]) -> tuple[Row, ...]:
    """Return the rows of a residual block."""
    norm1, conv1, norm2, conv2, shortcut = (f"{key}.{part}" for part in parts)
    return (
        gamma(norm1, f"{path}/norm1"),
        *layer(conv1, f"{path}/conv1", TIME_CONV),
        gamma(norm2, f"{path}/norm2"),
        *layer(conv2, f"{path}/conv2", TIME_CONV),
        *layer(shortcut, f"{path}/shortcut", POINT_3D),
    )


def attention(key: str, path: str) -> tuple[Row, ...]:
    """Return the rows of an attention block."""
    return (
        gamma(f"{key}.norm", f"{path}/norm", GAMMA_2D),
        *layer(f"{key}.to_qkv", f"{path}/qkv", POINT_2D),
        *layer(f"{key}.proj", f"{path}/project", POINT_2D),
    )


def resample(key: str, path: str) -> tuple[Row, ...]:
    """Return the rows of a change of resolution."""
    return (
        *layer(f"{key}.resample.1", f"{path}/conv", FRAME_CONV),
        *layer(f"{key}.time_conv", f"{path}/time_conv", TIME_CONV),
    )


def stages_in_a_row(listed: str, side: str, blocks: int, parts: tuple[str, ...]) -> tuple[Row, ...]:
    """Return the rows of stages whose blocks and changes of resolution are counted through in one list."""
    rows = []
    for stage in STAGES:
        first, path = stage * (blocks + 1), f"{side}/stages/{stage}"
        for block in range(blocks):
            rows += residual(f"{listed}.{first + block}", f"{path}/blocks/{block}", parts)
        rows += resample(f"{listed}.{first + blocks}", f"{path}/resample")
    return tuple(rows)


ORIGINAL = (
    *layer("conv1", "encoder/moments", POINT_3D),
    *layer("conv2", "decoder/latents_in", POINT_3D),
    *layer(f"{SIDE}.conv1", "{side}/conv_in", TIME_CONV),
    *stages_in_a_row("encoder.downsamples", "encoder", 2, PARTS),
    *stages_in_a_row("decoder.upsamples", "decoder", 3, PARTS),
    *residual(f"{SIDE}.middle.0", "{side}/middle/before", PARTS),
    *attention(f"{SIDE}.middle.1", "{side}/middle/attention"),
    *residual(f"{SIDE}.middle.2", "{side}/middle/after", PARTS),
    gamma(f"{SIDE}.head.0", "{side}/head/norm"),
    *layer(f"{SIDE}.head.2", "{side}/head/conv", TIME_CONV),
)
DIFFUSERS = (
    *layer("quant_conv", "encoder/moments", POINT_3D),
    *layer("post_quant_conv", "decoder/latents_in", POINT_3D),
    *layer(f"{SIDE}.conv_in", "{side}/conv_in", TIME_CONV),
    *stages_in_a_row("encoder.down_blocks", "encoder", 2, DIFFUSERS_PARTS),
    *residual("decoder.up_blocks.{stage}.resnets.{block}", "decoder/stages/{stage}/blocks/{block}", DIFFUSERS_PARTS),
    *resample("decoder.up_blocks.{stage}.upsamplers.0", "decoder/stages/{stage}/resample"),
    *residual(f"{SIDE}.mid_block.resnets.0", "{side}/middle/before", DIFFUSERS_PARTS),
    *attention(f"{SIDE}.mid_block.attentions.0", "{side}/middle/attention"),
    *residual(f"{SIDE}.mid_block.resnets.1", "{side}/middle/after", DIFFUSERS_PARTS),
    gamma(f"{SIDE}.norm_out", "{side}/head/norm"),
    *layer(f"{SIDE}.conv_out", "{side}/head/conv", TIME_CONV),
)


def configure(shapes: Shapes, settings: Mapping[str, Any]) -> VAEConfig:
    """Read the sizes off the tensors; all released VAEs have four stages of two residual blocks."""
    dim = shapes["encoder.conv1.weight"][0]
    widths = [shapes[f"encoder.downsamples.{3 * stage}.residual.2.weight"][0] for stage in STAGES]
    return VAEConfig(
        dim=dim,
        z_dim=shapes["conv2.weight"][0],
        dim_mult=tuple(width // dim for width in widths),
        temporal_downsample=tuple(f"encoder.downsamples.{3 * s + 2}.time_conv.weight" in shapes for s in STAGES[:-1]),
    )


COMPONENT = Component(
    name="vae",
    files=("Wan2.1_VAE.pth", "vae/diffusion_pytorch_model.safetensors", "*VAE*.safetensors"),
    tables={"original": ORIGINAL, "diffusers": DIFFUSERS},
    configure=configure,
    abstract=abstract_params,
    from_json=lambda fields: VAEConfig(**fields),
)
"""The Wan 2.1 VAE in a checkpoint; a model that decodes by another rule replaces ``decoder_rule``."""
