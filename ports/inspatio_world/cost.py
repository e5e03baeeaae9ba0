"""What InSpatio-World needs besides its memory: bytes and arithmetic, from its sizes."""

from ports.inspatio_world.backbone import InSpatioWorld
from ports.wan.autoencoders import wan_vae
from ports.wan.latents import CELL, GUIDE_CHANNELS
from ports.wan.nn.dit import WanDiT
from ports.wan.nn.patches import PATCH
from ports.wan.program import costs
from worldkv_jax.sessions import Cost


def inspatio_cost(
    backbone: InSpatioWorld,
    coder: wan_vae.VAEConfig,
    *,
    frames: int,
    encodes_text: bool,
    rounds: bool,
    offload: int,
    decodes: bool,
) -> Cost:
    """Count bytes and arithmetic of one world.

    Args:
        backbone: model and size.
        coder: the VAE that encodes.
        frames: of the video, which is encoded twice before the rollout: the source and what is rendered of it.
        encodes_text: whether the text encoder is loaded, before the transformer.
        rounds: whether weights are rounded to eight bits when they are loaded.
        offload: layers whose weights wait in host memory.
        decodes: whether frames are decoded.
    """
    config, spec, decoder = backbone.config, backbone.spec, backbone.vae
    rows, own = config.text_rows, spec.chunk_tokens
    live = 2 * own  # source and previous output
    size = backbone.rows * CELL, backbone.columns * CELL
    # Of one token, with the scores of source and previous output.
    products = costs.token_products(config, rows) + config.layers * 2 * live * config.dim
    video = frames * size[0] * size[1] * 3 * 4  # source and render, each as it is made and as it is encoded
    latents = 4 * own * PATCH**2
    decoder_weights = costs.decoder_weights(decoder) if decodes else 0
    passes = backbone.schedule.steps  # and the context pass, which reads all weights too
    weights = costs.weights_needs(
        WanDiT, config, decoder=decoder_weights, passes=passes + 1, rounds=rounds, offload=offload
    )
    return Cost(
        **weights,
        passes=passes,
        pass_flops=2.0 * own * products,
        activation_bytes=costs.pass_bytes(config, live),
        prepared_bytes=spec.bytes(1, live) + costs.context_bytes(config, rows) + latents * GUIDE_CHANNELS,
        prepare_flops=2.0 * (live * products + rows * costs.prompt_products(config)),
        carry_bytes=latents * config.out_channels,
        decoder_bytes=costs.decoder_bytes(decoder, *size) if decodes else 0,
        decoder_state_bytes=costs.decoder_state_bytes(decoder, *size) if decodes else 0,
        decode_flops=costs.decode_flops(decoder, *size, spec.chunk_frames) if decodes else 0.0,
        encoder_bytes=max(
            costs.encoder_bytes(coder, *size) + 4 * video,
            costs.text_encoder_bytes() if encodes_text else 0,
        ),
    )
