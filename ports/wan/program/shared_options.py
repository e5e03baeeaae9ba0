"""Options and values of options that released models share."""

from typing import Any, Literal

from worldkv_jax.sessions.options import option

LIVE = "-"
"""Stands for cameras or actions that are asked for while the rollout goes on."""
DType = Literal["bfloat16", "float32"]
Decoder = Literal["vae", "taehv"]


def dtype_option() -> Any:
    """Declare what weights are kept in."""
    return option("bfloat16", "of weights and products (default: bfloat16)")


def decoder_option() -> Any:
    """Declare what makes frames of latents, see `ports.wan.program.coders`."""
    return option("vae", "what makes frames: the VAE, or a tiny fast one, which is less sharp")
