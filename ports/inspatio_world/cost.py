"""What InSpatio-World needs besides its memory: bytes and arithmetic, from its sizes."""

import jax
import jax.numpy as jnp

from ports.inspatio_world.backbone import InSpatioWorld
from ports.wan.autoencoders import wan_vae
from ports.wan.encoders import umt5
from ports.wan.latents import CELL, GUIDE_CHANNELS
from ports.wan.nn.dit import WanDiT
from ports.wan.nn.parameters import abstract_params
from ports.wan.nn.patches import PATCH
from worldkv_jax.rollout.plan import Cost

# Of the Wan 2.1 VAE, for each pixel of a frame and in float32.
_DECODE_FLOPS = 34e6  # of one latent frame
_DECODE_BYTES = 12_500  # temporaries of one latent frame
_ENCODE_BYTES = 13_500  # temporaries of four frames


def inspatio_cost(backbone: InSpatioWorld, *, frames: int, encodes_text: bool, decodes: bool) -> Cost:
    """Count bytes and arithmetic of one world.

    Args:
        backbone: model and size.
        frames: of the video, which is encoded twice before the rollout: the source and what is rendered of it.
        encodes_text: whether the text encoder is loaded, before the transformer.
        decodes: whether frames are decoded.
    """
    config, spec = backbone.config, backbone.spec
    dim, layers, rows, own = config.dim, config.layers, config.text_rows, spec.chunk_tokens
    live = 2 * own  # source and previous output
    width, coder_width = jnp.dtype(config.dtype).itemsize, jnp.dtype(backbone.vae.compute_dtype).itemsize
    height, columns = backbone.rows * CELL, backbone.columns * CELL
    pixels = height * columns

    # Multiplications of weights with rows; two operations each.
    square = dim * dim
    block = 6 * square + 2 * dim * config.ffn_dim + 2 * rows * dim  # self q, k, v, o; cross q, o; its scores
    ends = PATCH**2 * (config.in_channels + config.out_channels) * dim
    prompt = layers * 2 * square + config.text_dim * dim + square
    scores = 2 * layers * live * dim  # of one token with source and previous output

    coder = wan_vae.abstract_params(backbone.vae)
    video = frames * pixels * 3 * 4  # source and render, each as it is made and as it is encoded
    encoding = _bytes(coder, backbone.vae.compute_dtype) + _ENCODE_BYTES * pixels * coder_width // 4 + 4 * video
    text = _bytes(umt5.COMPONENT.abstract(umt5.UMT5Config()), "bfloat16") if encodes_text else 0
    decoder = wan_vae.decoder_state_bytes(backbone.vae, height, columns) + _DECODE_BYTES * pixels * coder_width // 4
    latents = 4 * own * PATCH**2
    return Cost(
        weights_bytes=_bytes(abstract_params(WanDiT, config), config.dtype)
        + _bytes(coder["decoder"], backbone.vae.compute_dtype),
        passes=backbone.schedule.steps,
        pass_flops=2.0 * own * (layers * block + ends + scores),
        activation_bytes=live * dim * 4 * 5 + live * config.ffn_dim * 4,
        prepared_bytes=spec.bytes(1, live) + 2 * layers * rows * dim * width + latents * GUIDE_CHANNELS,
        prepare_flops=2.0 * (live * (layers * block + ends + scores) + rows * prompt),
        carry_bytes=latents * config.out_channels,
        decoder_bytes=decoder if decodes else 0,
        decode_flops=_DECODE_FLOPS * pixels * spec.chunk_frames if decodes else 0.0,
        encoder_bytes=max(encoding, text),
    )


def _bytes(abstract: dict, dtype: str) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(abstract)) * jnp.dtype(dtype).itemsize
