"""What makes latents of pictures: the VAE. And frames of latents: its decoder, or a tiny fast one beside it."""

import dataclasses

import jax
import jax.numpy as jnp

from checkpoints.components import Component
from checkpoints.weights import open_weights
from ports.wan.autoencoders import taehv, wan_vae
from ports.wan.program.weights import check_parts, load_whole, whole_sharding
from worldkv_jax.sessions import Placement

DecoderConfig = wan_vae.VAEConfig | taehv.TAEHVConfig
TINY = taehv.TAEHVConfig(encoder_width=4, decoder_widths=(8, 8, 4, 4))
"""A tiny fast decoder that is tinier still, for trials on any machine."""


def coder_params(
    config: wan_vae.VAEConfig,
    where: Placement,
    *,
    ckpt: str | None,
    component: Component = wan_vae.COMPONENT,
    dtype: str = "float32",
) -> dict:
    """Load or draw the parameters of the VAE that encodes.

    Args:
        config: of the VAE.
        where: where weights lie.
        ckpt: the model folder; ``None`` for random weights.
        component: where the VAE lies in the folder.
        dtype: of the parameters.
    """
    if ckpt is not None:
        return load_whole(ckpt, component, dtype, where)[1]
    return jax.device_put(wan_vae.init_params(config, 0, dtype=jnp.dtype(dtype)), whole_sharding(where))


def decoder_config(
    name: str,
    coder: wan_vae.VAEConfig,
    *,
    ckpt: str | None,
    component: Component = taehv.COMPONENT,
    tiny: bool = False,
    dtype: str | None = None,
) -> DecoderConfig:
    """Return the size of the decoder that was asked for.

    Args:
        name: ``"vae"`` or ``"taehv"``.
        coder: the VAE that encodes.
        ckpt: model folder that a TAEHV is read from; ``None`` for random weights.
        component: where it lies there.
        tiny: whether random weights are those of a tiny model.
        dtype: of activations; the VAE's by default.

    Raises:
        FileNotFoundError: the folder has no TAEHV.
        ValueError: what it has is none.
    """
    if name == "vae":
        decoder = coder
    elif ckpt is not None:
        check_parts(ckpt, [component])
        decoder = open_weights(ckpt, component).config
    else:
        decoder = TINY if tiny else taehv.TAEHVConfig()
    return dataclasses.replace(decoder, compute_dtype=dtype or coder.compute_dtype)


def decoder_params(
    config: DecoderConfig,
    where: Placement,
    *,
    ckpt: str | None,
    coder: dict | None,
    component: Component = taehv.COMPONENT,
) -> dict:
    """Load or draw the decoder's parameters, in the dtype that it computes in.

    Args:
        config: of the decoder.
        where: where weights lie.
        ckpt: the model folder; ``None`` for random weights.
        coder: the VAE's parameters; may be ``None`` where it does not decode, or with random weights.
        component: where a TAEHV lies in the folder.
    """
    is_vae = isinstance(config, wan_vae.VAEConfig)
    if is_vae and coder is not None:
        params = coder
    elif ckpt is not None:
        _, params = load_whole(ckpt, component, "float32", where)
    else:
        drawn = wan_vae.init_decoder(config, 0) if is_vae else taehv.init_decoder(config, 0)
        params = jax.device_put(drawn, whole_sharding(where))
    return {"decoder": jax.tree.map(lambda a: a.astype(config.compute_dtype), params["decoder"])}
