"""Make the inputs of a rollout ready: load or draw weights, embed the prompt, encode the image."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from checkpoints.components import Component
from checkpoints.restore import load_params
from ports.lingbot_world.backbone import LingBotWorld
from ports.lingbot_world.checkpoint import DIT
from ports.lingbot_world.conditioning import encode_first_frame, image_cells
from ports.lingbot_world.config import LingBotConfig
from ports.lingbot_world.inputs import Inputs, is_embedding
from ports.lingbot_world.model import LingBotDiT
from ports.wan.autoencoders import wan_vae
from ports.wan.backbone import WanParams
from ports.wan.encoders import umt5
from ports.wan.encoders.prompts import TextEncoder, embed_prompt
from ports.wan.encoders.text import Tokenizer
from ports.wan.latents import LATENT_CHANNELS
from ports.wan.nn.parameters import init_params
from worldkv_jax.rollout import ChunkInput


def load(inputs: Inputs) -> tuple[WanParams, list[ChunkInput]]:
    """Embed the prompt, encode the image, then load the transformer: one large network at a time."""
    config, ckpt = inputs.backbone.config, inputs.ckpt
    prompt = _embed(inputs.prompt, ckpt, config)
    _, coder = _load(ckpt, wan_vae.COMPONENT, "float32")
    cells = _encode(inputs, coder)
    _, dit = _load(ckpt, DIT, config.dtype)
    return WanParams(dit, _decoder(inputs, coder)), inputs.chunks(cells, prompt)


def draw(inputs: Inputs, *, seed: int = 0) -> tuple[WanParams, list[ChunkInput]]:
    """Do the same with random weights, of the transformer and of the VAE, and without a text encoder."""
    backbone, config = inputs.backbone, inputs.backbone.config
    if inputs.prompt is not None and is_embedding(inputs.prompt):
        prompt = embed_prompt(inputs.prompt, dim=config.text_dim, length=config.text_rows)
    else:
        prompt = jax.random.normal(jax.random.key(seed), (config.text_rows, config.text_dim))
    needs_coder = inputs.decodes or inputs.image is not None
    coder = wan_vae.init_params(backbone.vae, seed) if needs_coder else {}
    cells = _encode(inputs, coder)
    dit = init_params(LingBotDiT, config, seed, dtype=jnp.dtype(config.dtype))
    return WanParams(dit, _decoder(inputs, coder)), inputs.chunks(cells, prompt)


def _decoder(inputs: Inputs, coder: dict) -> dict | None:
    return {"decoder": coder["decoder"]} if inputs.decodes else None


def _embed(prompt: str, ckpt: str, config: LingBotConfig) -> jax.Array:
    encoder = None
    if not is_embedding(prompt):
        size, params = _load(ckpt, umt5.COMPONENT, config.dtype)
        encoder = TextEncoder(size, params, Tokenizer.load(ckpt, length=config.text_rows))
    embedding = embed_prompt(prompt, dim=config.text_dim, encoder=encoder, length=config.text_rows)
    return jax.block_until_ready(embedding)  # only then may the encoder's weights go


def _encode(inputs: Inputs, coder: dict) -> jax.Array:
    backbone: LingBotWorld = inputs.backbone
    latents = min(inputs.length.latents, backbone.vae.still_latents)
    if inputs.image is None:
        shape = (1, latents, backbone.rows, backbone.columns, LATENT_CHANNELS)
        return image_cells(jax.random.normal(jax.random.key(0), shape))
    image = np.asarray(inputs.image)
    sizes = {"rows": backbone.rows, "columns": backbone.columns, "latents": latents}
    return jax.block_until_ready(encode_first_frame(backbone.vae, coder, image, **sizes))


def _load(ckpt: str, component: Component, dtype: str) -> tuple[Any, dict]:
    with tqdm(desc=f"loading {component.name}", unit=" weights", unit_scale=True) as bar:
        return load_params(ckpt, component, dtype=jnp.dtype(dtype), progress=_advance(bar))


def _advance(bar: tqdm) -> Callable[[int, int], None]:
    def advance(done: int, total: int) -> None:
        bar.total = total
        bar.update(done)

    return advance
