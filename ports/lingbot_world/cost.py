"""What LingBot-World-Fast needs besides its memory: bytes and arithmetic, from its sizes."""

import jax.numpy as jnp

from ports.lingbot_world.backbone import LingBotWorld
from ports.lingbot_world.model import LingBotDiT
from ports.wan.autoencoders import wan_vae
from ports.wan.latents import CELL, GUIDE_CHANNELS
from ports.wan.nn.patches import PATCH
from ports.wan.program import costs
from worldkv_jax.sessions import Cost


def lingbot_cost(
    backbone: LingBotWorld, coder: wan_vae.VAEConfig, *, encodes_text: bool, rounds: bool, offload: int, decodes: bool
) -> Cost:
    """Count bytes and arithmetic of one world.

    Args:
        backbone: model and size.
        coder: the VAE that encodes.
        encodes_text: whether the text encoder is loaded, before the transformer.
        rounds: whether weights are rounded to eight bits when they are loaded.
        offload: layers whose weights wait in host memory.
        decodes: whether frames are decoded.
    """
    config, spec, decoder = backbone.config, backbone.spec, backbone.vae
    tokens, frames, rows = spec.chunk_tokens, spec.chunk_frames, config.text_rows
    size = backbone.rows * CELL, backbone.columns * CELL
    square, width = config.dim**2, jnp.dtype(config.dtype).itemsize
    film = config.layers * 4 * square + PATCH**2 * config.camera_channels * config.dim + 2 * square
    film_bytes = 2 * config.layers * tokens * config.dim * (1 if config.weights else width)
    image_bytes = 4 * GUIDE_CHANNELS * frames * backbone.rows * backbone.columns
    decoder_weights = costs.decoder_weights(decoder) if decodes else 0
    passes = backbone.schedule.passes
    weights = costs.weights_needs(
        LingBotDiT, config, decoder=decoder_weights, passes=passes, rounds=rounds, offload=offload
    )
    return Cost(
        **weights,
        passes=passes,
        pass_flops=2.0 * tokens * costs.token_products(config, rows),
        activation_bytes=costs.pass_bytes(config, tokens),
        prepared_token_bytes=film_bytes,
        prepared_bytes=film_bytes + costs.context_bytes(config, rows) + image_bytes,
        prepare_flops=2.0 * (tokens * film + rows * costs.prompt_products(config)),
        decoder_bytes=costs.decoder_bytes(decoder, *size) if decodes else 0,
        decoder_state_bytes=costs.decoder_state_bytes(decoder, *size) if decodes else 0,
        decode_flops=costs.decode_flops(decoder, *size, frames) if decodes else 0.0,
        encoder_bytes=max(
            costs.encoder_bytes(coder, *size),
            costs.text_encoder_bytes() if encodes_text else 0,
        ),
    )
