"""What the parts that Wan-style world models share need: bytes and arithmetic, from their sizes."""

import functools
import re
from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import nnx

from checkpoints.parameter_paths import flatten
from ports.wan.autoencoders import taehv, wan_vae
from ports.wan.encoders import umt5
from ports.wan.nn.dit import WanConfig
from ports.wan.nn.parameters import abstract_params
from ports.wan.nn.patches import PATCH
from ports.wan.nn.quantized import quantized_shapes

# Of the Wan 2.1 VAE at its released width, for each pixel of a frame and four bytes a number. Temporaries are those of
# the programs compiled for an H200 (jax 0.10.2) at 352x640 to 480x832: decoding takes 10,900 in float32 and twice 6,100
# in bfloat16, a chunk's frames included; encoding 16,200 to 16,600.
_DECODE_FLOPS = 34e6  # of one latent frame
_DECODE_BYTES = 12_300
_ENCODE_BYTES = 16_600
_ONCE_A_CHUNK = re.compile(r"blocks/(camera|cross_attn/(k|v|norm_k))/")  # weights that only preparing a chunk reads
_TINY_SHARE = 1 / 25  # of both, for TAEHV


def count_bytes(abstract: Mapping, dtype: str) -> int:
    """Return the bytes of parameters, described as ``jax.ShapeDtypeStruct``, in a dtype."""
    return sum(leaf.size for leaf in jax.tree.leaves(abstract)) * jnp.dtype(dtype).itemsize


def weights_needs(
    network: type[nnx.Module], config: WanConfig, *, decoder: int, passes: int, rounds: bool, offload: int
) -> dict[str, int]:
    """Count the fields of `worldkv_jax.sessions.Cost` that are about weights.

    Args:
        network: the transformer.
        config: its configuration.
        decoder: bytes of a decoder's weights.
        passes: of a chunk.
        rounds: whether kernels are rounded to eight bits when they are loaded.
        offload: layers whose weights wait in host memory.
    """
    shapes = abstract_params(network, config)
    loaded = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, config.dtype), shapes)
    sizes = {
        path: leaf.size * leaf.dtype.itemsize
        for path, leaf in flatten(quantized_shapes(loaded, config.weights)).items()
    }
    blocks = {path: size for path, size in sizes.items() if path.startswith("blocks/")}
    layer = sum(blocks.values()) // config.layers
    once = sum(size for path, size in blocks.items() if _ONCE_A_CHUNK.match(path)) // config.layers
    whole = sum(sizes.values()) - sum(blocks.values()) + decoder
    needs = {"whole_weights_bytes": whole, "weights_bytes": whole + sum(blocks.values())}
    if offload:
        # In a pass one layer is there and the next on its way; after the last, it comes once more.
        needs["weights_bytes"] += 2 * (layer - once) - offload * layer
        needs["waiting_bytes"] = offload * layer
        needs["fetched_bytes"] = (offload + 1) * (passes * (layer - once) + once)
    elif rounds:
        largest = max(leaf.size for leaf in jax.tree.leaves(shapes))
        needs["rounding_bytes"] = count_bytes(shapes, config.dtype) + largest  # all as they were, and one rounded
    return needs


def token_products(config: WanConfig, context_rows: int) -> int:
    """Count what a pass multiplies for each token, self-attention scores apart; two operations each.

    Args:
        config: of the transformer.
        context_rows: what each token attends to of a prompt or an image.
    """
    dim = config.dim
    block = 6 * dim * dim + 2 * dim * config.ffn_dim + 2 * context_rows * dim  # self q, k, v, o; cross q, o, scores
    return config.layers * block + PATCH**2 * (config.in_channels + config.out_channels) * dim


def prompt_products(config: WanConfig) -> int:
    """Count what preparing a prompt multiplies for each of its rows: keys and values of all layers, its projection."""
    return config.layers * 2 * config.dim**2 + config.text_dim * config.dim + config.dim**2


def context_bytes(config: WanConfig, context_rows: int) -> int:
    """Return the bytes of a prompt's or an image's keys and values in all layers, which a chunk keeps."""
    return 2 * config.layers * context_rows * config.dim * jnp.dtype(config.dtype).itemsize


def pass_bytes(config: WanConfig, tokens: int) -> int:
    """Estimate the largest temporaries of a pass: float32 activations of one block."""
    return 4 * tokens * (5 * config.dim + config.ffn_dim)


def decoder_weights(config: wan_vae.VAEConfig | taehv.TAEHVConfig) -> int:
    """Return the bytes of a decoder's weights."""
    is_vae = isinstance(config, wan_vae.VAEConfig)
    abstract = wan_vae.abstract_params(config) if is_vae else taehv.abstract_params(config)
    return count_bytes(abstract["decoder"], config.compute_dtype)


@functools.lru_cache(maxsize=32)  # a plan asks twice, and describing a decoder takes a second
def decoder_state_bytes(config: wan_vae.VAEConfig | taehv.TAEHVConfig, height: int, width: int, worlds: int = 1) -> int:
    """Return the bytes that a streaming decoder keeps between chunks."""
    if isinstance(config, wan_vae.VAEConfig):
        return wan_vae.decoder_state_bytes(config, height, width, worlds)
    return taehv.decoder_state_bytes(config, height, width, worlds)


def decoder_bytes(config: wan_vae.VAEConfig | taehv.TAEHVConfig, height: int, width: int, worlds: int = 1) -> int:
    """Estimate what decoding a chunk takes: the stream's state, which is written in place, and temporaries."""
    is_vae = isinstance(config, wan_vae.VAEConfig)
    state = decoder_state_bytes(config, height, width, worlds)
    temporaries = _DECODE_BYTES * height * width * worlds * jnp.dtype(config.compute_dtype).itemsize // 4
    return state + (temporaries if is_vae else int(temporaries * _TINY_SHARE))


def decode_flops(config: wan_vae.VAEConfig | taehv.TAEHVConfig, height: int, width: int, latent_frames: int) -> float:
    """Estimate the arithmetic of decoding so many latent frames."""
    share = 1 if isinstance(config, wan_vae.VAEConfig) else _TINY_SHARE
    return _DECODE_FLOPS * height * width * latent_frames * share


def encoder_bytes(config: wan_vae.VAEConfig, height: int, width: int, worlds: int = 1) -> int:
    """Estimate what encoding takes: the VAE's weights and temporaries."""
    temporaries = _ENCODE_BYTES * height * width * worlds * jnp.dtype(config.compute_dtype).itemsize // 4
    return count_bytes(wan_vae.abstract_params(config), config.compute_dtype) + temporaries


def text_encoder_bytes() -> int:
    """Return the bytes of the text encoder's weights, which are released in bfloat16."""
    return count_bytes(umt5.COMPONENT.abstract(umt5.UMT5Config()), "bfloat16")
