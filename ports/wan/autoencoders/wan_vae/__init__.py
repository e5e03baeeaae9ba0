"""The Wan 2.1 VAE: frames to latents and back, in streams of any length."""

from ports.wan.autoencoders.streaming import Caches
from ports.wan.autoencoders.wan_vae.api import (
    abstract_params,
    decode,
    decoder_state,
    decoder_state_bytes,
    encode,
    encode_image,
    encode_next,
    init_decoder,
    init_params,
)
from ports.wan.autoencoders.wan_vae.checkpoint import COMPONENT
from ports.wan.autoencoders.wan_vae.config import LATENT_MEAN, LATENT_STD, VAEConfig

__all__ = [
    "COMPONENT",
    "LATENT_MEAN",
    "LATENT_STD",
    "Caches",
    "VAEConfig",
    "abstract_params",
    "decode",
    "decoder_state",
    "decoder_state_bytes",
    "encode",
    "encode_image",
    "encode_next",
    "init_decoder",
    "init_params",
]
