"""What the demo world needs besides its memory."""

import math

import jax

from ports.demo_world.backbone import DemoWorld
from ports.demo_world.codec import Codec
from ports.demo_world.model import DemoDiT
from ports.wan.nn.parameters import abstract_params
from ports.wan.nn.quantized import quantized_shapes
from worldkv_jax.sessions import Cost


def demo_cost(backbone: DemoWorld, worlds: int, weights: str | None = None) -> Cost:
    """Count bytes and arithmetic of the demo model for a batch of worlds."""
    config, tokens = backbone.config, worlds * backbone.spec.chunk_tokens
    codec = Codec.shapes(config.family.cell, config.family.channels)
    leaves = jax.tree.leaves(quantized_shapes(abstract_params(DemoDiT, config), weights))
    weights_bytes = sum(leaf.size * leaf.dtype.itemsize for leaf in leaves) + 4 * sum(map(math.prod, codec.values()))
    block = 2 * tokens * (4 * config.dim**2 + 2 * config.dim * config.ffn_dim)
    film = 2 * tokens * 4 * config.dim**2
    stream = 4 * tokens * config.dim  # bytes of one float32 activation
    return Cost(
        weights_bytes=weights_bytes,
        passes=backbone.schedule.passes,
        pass_flops=config.layers * block,
        activation_bytes=stream * (4 + config.ffn_dim // config.dim),
        prepared_bytes=2 * config.layers * stream,
        prepare_flops=config.layers * film,
    )
