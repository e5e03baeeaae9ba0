"""What Matrix-Game 2.0 needs besides its memory: bytes and arithmetic, from its sizes."""

import math

import jax

from ports.matrix_game2.action_module import empty_window
from ports.matrix_game2.backbone import MatrixGame2
from ports.matrix_game2.config import MOUSE_COLUMNS, WINDOW_ROWS
from ports.matrix_game2.model import MatrixGameDiT
from ports.wan.autoencoders import wan_vae
from ports.wan.encoders import clip
from ports.wan.latents import CELL, GUIDE_CHANNELS
from ports.wan.program import costs
from worldkv_jax.sessions import Cost


def matrix_game_cost(
    backbone: MatrixGame2,
    coder: wan_vae.VAEConfig,
    tower: clip.CLIPConfig,
    *,
    worlds: int,
    rounds: bool,
    offload: int,
    decodes: bool,
) -> Cost:
    """Count bytes and arithmetic of a batch of worlds.

    Args:
        backbone: model and size.
        coder: the VAE that encodes the first image.
        tower: CLIP, which reads it too.
        worlds: worlds in the batch.
        rounds: whether weights are rounded to eight bits when they are loaded.
        offload: layers whose weights wait in host memory.
        decodes: whether frames are decoded.
    """
    config, spec = backbone.config, backbone.spec
    dim, rows = config.dim, 1 + (tower.image_size // tower.patch_size) ** 2
    height, width, frames = backbone.rows * CELL, backbone.columns * CELL, spec.chunk_frames
    tokens = worlds * spec.chunk_tokens
    image = worlds * rows * (config.image_dim**2 + config.image_dim * dim + 2 * config.layers * dim * dim)
    image_bytes = 4 * GUIDE_CHANNELS * frames * backbone.rows * backbone.columns * worlds
    carry = jax.eval_shape(lambda: empty_window(config, worlds, spec.tokens_per_frame))
    tower_bytes = costs.count_bytes(clip.COMPONENT.abstract(tower), config.dtype)
    decoder_weights = costs.decoder_weights(backbone.vae) if decodes else 0
    passes = backbone.schedule.passes
    weights = costs.weights_needs(
        MatrixGameDiT, config, decoder=decoder_weights, passes=passes, rounds=rounds, offload=offload
    )
    return Cost(
        **weights,
        passes=passes,
        pass_flops=2.0 * tokens * (costs.token_products(config, rows) + _action_products(backbone)),
        activation_bytes=costs.pass_bytes(config, tokens),
        prepared_bytes=worlds * costs.context_bytes(config, rows) + image_bytes,
        prepare_flops=2.0 * image,
        carry_bytes=2 * sum(math.prod(a.shape) * a.dtype.itemsize for a in jax.tree.leaves(carry)),  # old and new
        decoder_bytes=costs.decoder_bytes(backbone.vae, height, width, worlds) if decodes else 0,
        decoder_state_bytes=costs.decoder_state_bytes(backbone.vae, height, width, worlds) if decodes else 0,
        decode_flops=costs.decode_flops(backbone.vae, height, width, frames) * worlds if decodes else 0.0,
        encoder_bytes=max(costs.encoder_bytes(coder, height, width, worlds), tower_bytes),
    )


def _action_products(backbone: MatrixGame2) -> int:
    """Count what the action modules multiply for each token."""
    config = backbone.config
    wide = config.action_dim
    keyboard = 2 * config.dim * wide
    mouse = (config.dim + WINDOW_ROWS * MOUSE_COLUMNS) * wide + 4 * wide * wide + wide * config.dim
    return config.action_layers * (keyboard + (mouse if config.mouse else 0))
