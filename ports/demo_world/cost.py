"""What the demo world needs besides its memory."""

import math

from ports.demo_world.backbone import DemoWorld
from ports.demo_world.codec import Codec
from ports.demo_world.model import DemoDiT
from ports.wan.nn.parameters import abstract_params
from ports.wan.program.costs import count_bytes
from worldkv_jax.sessions import Cost


def demo_cost(backbone: DemoWorld, worlds: int) -> Cost:
    """Count bytes and arithmetic of the demo model for a batch of worlds."""
    config, tokens = backbone.config, worlds * backbone.spec.chunk_tokens
    codec = Codec.shapes(config.family.cell, config.family.channels)
    weights = count_bytes(abstract_params(DemoDiT, config), "float32") + 4 * sum(map(math.prod, codec))
    block = 2 * tokens * (4 * config.dim**2 + 2 * config.dim * config.ffn_dim)
    film = 2 * tokens * 4 * config.dim**2
    stream = 4 * tokens * config.dim  # bytes of one float32 activation
    return Cost(
        weights_bytes=weights,
        passes=backbone.schedule.steps + 1,
        pass_flops=config.layers * block,
        activation_bytes=stream * (4 + config.ffn_dim // config.dim),
        prepared_bytes=2 * config.layers * stream,
        prepare_flops=config.layers * film,
    )
