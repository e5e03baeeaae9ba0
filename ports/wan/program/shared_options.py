"""Options that all released models have, with the same values."""

from typing import Any, Literal

from worldkv_jax.sessions.options import option

DType = Literal["bfloat16", "float32"]
Decoder = Literal["vae", "taehv"]


def dtype_option() -> Any:
    """Declare what weights are kept in."""
    return option("bfloat16", "of weights and products (default: bfloat16)")


def decoder_option() -> Any:
    """Declare what makes frames of latents, see `ports.wan.program.decoding`."""
    return option("vae", "what makes frames: the VAE, or a tiny fast one, which is less sharp")
