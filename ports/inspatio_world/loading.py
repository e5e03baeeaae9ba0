"""Make a rollout ready: film the scene, load or draw weights, embed the prompt, encode the footage."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from tqdm import tqdm

from checkpoints.components import Component
from checkpoints.restore import load_params
from ports.inspatio_world.backbone import InSpatioWorld
from ports.inspatio_world.checkpoint import DIT, UMT5, VAE, tokenizer_folder
from ports.inspatio_world.config import InSpatioConfig
from ports.inspatio_world.footage import Footage, film
from ports.inspatio_world.inputs import encode_footage
from ports.inspatio_world.scene import Scene
from ports.inspatio_world.shot import Shot
from ports.wan.autoencoders import wan_vae
from ports.wan.backbone import WanParams
from ports.wan.encoders.prompts import TextEncoder, embed_prompt
from ports.wan.encoders.text import Tokenizer
from ports.wan.nn.dit import WanDiT
from ports.wan.nn.parameters import init_params
from worldkv_jax.rollout import ChunkInput

EMBEDDINGS = (".npy", ".safetensors")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """What one rollout is made of."""

    backbone: InSpatioWorld
    scene: Scene
    shot: Shot
    released: bool = False
    """See `film`."""
    prompt: str | None = None
    """Text or the path of an embedding; ``None`` for noise in its place, with random weights."""
    ckpt: str | None = None
    """``None`` for random weights."""
    dit: str | None = None
    """File of the transformer, where it is not to be looked for in ``ckpt``."""


def load(job: Job, *, seed: int = 0) -> tuple[WanParams, list[ChunkInput]]:
    """Film first, which tells soonest if a path is wrong; then load one large network at a time."""
    backbone, footage = job.backbone, _film(job)
    text = _embed(job, seed)
    if job.ckpt is None:
        dtype = jnp.dtype(backbone.vae.compute_dtype)
        coder = wan_vae.init_params(backbone.vae, seed, dtype=dtype)
    else:
        _, coder = _load(job.ckpt, VAE, backbone.vae.compute_dtype)
    inputs = encode_footage(backbone, coder, job.scene, job.shot, footage, text)
    inputs = jax.block_until_ready(inputs)  # only then may the encoder's weights go
    if job.ckpt is None:
        dit = init_params(WanDiT, backbone.config, seed, dtype=jnp.dtype(backbone.config.dtype))
    else:
        _, dit = _load(job.dit or job.ckpt, DIT, backbone.config.dtype)
    return WanParams(dit, {"decoder": coder["decoder"]}), inputs


def _film(job: Job) -> Footage:
    footage = film(job.scene, job.shot, released=job.released)
    for note in footage.notes:
        print(f"note: {note}")
    return footage


def is_embedding(prompt: str) -> bool:
    """Tell whether a prompt is the path of a prompt embedding and not text."""
    return prompt.endswith(EMBEDDINGS)


def _embed(job: Job, seed: int) -> jax.Array:
    config: InSpatioConfig = job.backbone.config
    encoder = None
    if job.prompt is None or not is_embedding(job.prompt):
        if job.ckpt is None:
            return jax.random.normal(jax.random.key(seed), (config.text_rows, config.text_dim))
        size, params = _load(job.ckpt, UMT5, config.dtype)
        encoder = TextEncoder(size, params, Tokenizer.load(tokenizer_folder(job.ckpt), length=config.text_rows))
    embedding = embed_prompt(job.prompt, dim=config.text_dim, encoder=encoder, length=config.text_rows)
    return jax.block_until_ready(embedding)


def _load(ckpt: str, component: Component, dtype: str) -> tuple[Any, dict]:
    with tqdm(desc=f"loading {component.name}", unit=" weights", unit_scale=True) as bar:
        return load_params(ckpt, component, dtype=jnp.dtype(dtype), progress=_advance(bar))


def _advance(bar: tqdm) -> Callable[[int, int], None]:
    def advance(done: int, total: int) -> None:
        bar.total = total
        bar.update(done)

    return advance
