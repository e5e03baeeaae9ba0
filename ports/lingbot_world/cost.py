"""What LingBot-World-Fast needs besides its memory: bytes and arithmetic, from its sizes."""

import jax
import jax.numpy as jnp

from ports.lingbot_world.backbone import LingBotWorld
from ports.lingbot_world.model import LingBotDiT
from ports.wan.autoencoders import wan_vae
from ports.wan.encoders import umt5
from ports.wan.latents import CELL, GUIDE_CHANNELS
from ports.wan.nn.parameters import abstract_params
from ports.wan.nn.patches import PATCH
from worldkv_jax.rollout.plan import Cost

# Of the Wan 2.1 VAE, for each pixel of a frame: arithmetic grows with the pixels alone, nearly.
_DECODE_FLOPS = 34e6  # of one latent frame
_DECODE_BYTES = 13_300  # temporaries of one latent frame
_ENCODE_BYTES = 16_500  # temporaries of four frames


def lingbot_cost(backbone: LingBotWorld, *, encodes_text: bool, decodes: bool) -> Cost:
    """Count bytes and arithmetic of one world.

    Args:
        backbone: model and size.
        encodes_text: whether the text encoder is loaded, before the transformer.
        decodes: whether frames are decoded.
    """
    config, tokens = backbone.config, backbone.spec.chunk_tokens
    dim, layers, rows = config.dim, config.layers, config.text_rows
    width = jnp.dtype(config.dtype).itemsize
    height, columns = backbone.rows * CELL, backbone.columns * CELL
    pixels, frames = height * columns, backbone.spec.chunk_frames

    # Multiplications of weights with rows; two operations each.
    square, features = dim * dim, PATCH**2
    block = 6 * square + 2 * dim * config.ffn_dim + 2 * rows * dim  # self q, k, v, o; cross q, o; its scores
    ends = features * (config.in_channels + config.out_channels) * dim
    film = layers * 4 * square + features * config.camera_channels * dim + 2 * square
    prompt = layers * 2 * square + config.text_dim * dim + square

    stream = 4 * tokens * dim  # bytes of one float32 activation
    prompt_bytes = 2 * layers * rows * dim * width
    image_bytes = 4 * GUIDE_CHANNELS * frames * backbone.rows * backbone.columns
    coder = wan_vae.abstract_params(backbone.vae)
    encoding = _bytes(coder) + _ENCODE_BYTES * pixels
    text = _bytes(umt5.COMPONENT.abstract(umt5.UMT5Config()), "bfloat16") if encodes_text else 0
    decoder = wan_vae.decoder_state_bytes(backbone.vae, height, columns) + _DECODE_BYTES * pixels
    return Cost(
        weights_bytes=_bytes(abstract_params(LingBotDiT, config), config.dtype) + _bytes(coder["decoder"]),
        passes=backbone.schedule.steps + 1,
        pass_flops=2.0 * tokens * (layers * block + ends),
        activation_bytes=stream * 5 + tokens * config.ffn_dim * 4,
        prepared_bytes=2 * layers * tokens * dim * width + prompt_bytes + image_bytes,
        prepare_flops=2.0 * (tokens * film + rows * prompt),
        decoder_bytes=decoder if decodes else 0,
        decode_flops=_DECODE_FLOPS * pixels * frames if decodes else 0.0,
        encoder_bytes=max(encoding, text),
    )


def _bytes(abstract: dict, dtype: str = "float32") -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(abstract)) * jnp.dtype(dtype).itemsize
