"""Make a rollout ready: load or draw weights, encode the first images, then what each chunk is given."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from checkpoints.components import Component
from checkpoints.restore import load_params
from ports.matrix_game2.actions import Rows
from ports.matrix_game2.backbone import MatrixGame2
from ports.matrix_game2.checkpoint import dit_component
from ports.matrix_game2.conditioning import Scene, SceneEncoder, mask_first
from ports.matrix_game2.model import MatrixGameDiT
from ports.matrix_game2.play import Source, cut_rows, follow, play
from ports.matrix_game2.variants import Variant
from ports.wan.autoencoders import taehv, wan_vae
from ports.wan.backbone import WanParams
from ports.wan.encoders import clip
from ports.wan.latents import CHUNK_FRAMES, LATENT_CHANNELS
from ports.wan.nn.parameters import init_params
from worldkv_jax.cameras.actions import MotionUnits
from worldkv_jax.rollout import ChunkInput


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """What one rollout is made of."""

    backbone: MatrixGame2
    variant: Variant
    coder: wan_vae.VAEConfig
    """The VAE that encodes the first images."""
    tower: clip.CLIPConfig
    pictures: np.ndarray | None
    """``[n, height, width, 3]`` of one or all worlds; ``None`` for noise in their place, with random weights."""
    actions: list[Rows] | Source
    """Of one or all worlds; or who is asked for them."""
    worlds: int
    chunks: int
    units: MotionUnits
    ckpt: str | None = None
    """``None`` for random weights."""
    decodes: bool = True
    """Whether frames are wanted and not only latents."""


def load(job: Job) -> tuple[WanParams, Iterable[ChunkInput]]:
    """Encode the first images, then load the transformer: one large network at a time."""
    backbone, dtype = job.backbone, jnp.dtype(job.backbone.config.dtype)
    if job.ckpt is None:
        scene, decoder = _draw_scene(job), _draw_decoder(job)
        dit = init_params(MatrixGameDiT, backbone.config, 0, dtype=dtype)
    else:
        scene, decoder = _load_scene(job)
        _, dit = _load(job.ckpt, dit_component(job.variant), dtype)
    params = WanParams(dit, decoder)
    if callable(job.actions):
        return params, play(scene, job.variant, job.actions, units=job.units)
    worlds = job.actions * (job.worlds // len(job.actions))
    return params, list(follow(scene, job.variant, cut_rows(worlds), units=job.units))


def _load_scene(job: Job) -> tuple[Scene, dict | None]:
    """Encode the first images; the VAE's decoder stays, everything else goes."""
    tower, tower_params = _load(job.ckpt, clip.COMPONENT, jnp.dtype(job.backbone.config.dtype))
    # Released in half precision; single costs little here and is nearer to what was trained.
    coder, coder_params = _load(job.ckpt, wan_vae.COMPONENT, jnp.float32)
    encoder = SceneEncoder(vae=coder, vae_params=coder_params, clip=tower, clip_params=tower_params)
    pictures = jnp.asarray(np.repeat(job.pictures, job.worlds // len(job.pictures), axis=0))
    scene = jax.block_until_ready(encoder(pictures, chunks=job.chunks))
    if not job.decodes:
        return scene, None
    if isinstance(job.backbone.vae, taehv.TAEHVConfig):
        _, coder_params = _load(job.ckpt, taehv.COMPONENT, jnp.float32)
    return scene, _decoder_alone(coder_params, job.backbone.vae.compute_dtype)


def _draw_scene(job: Job) -> Scene:
    """Draw what the first images would contribute."""
    backbone, tower = job.backbone, job.tower
    latents = min(job.chunks * CHUNK_FRAMES, job.coder.still_latents)
    keys = jax.random.split(jax.random.key(0))
    shape = (job.worlds, latents, backbone.rows, backbone.columns, LATENT_CHANNELS)
    tokens = (job.worlds, 1 + (tower.image_size // tower.patch_size) ** 2, tower.dim)
    return Scene(mask_first(jax.random.normal(keys[0], shape)), jax.random.normal(keys[1], tokens))


def _draw_decoder(job: Job) -> dict | None:
    if not job.decodes:
        return None
    decoder = job.backbone.vae
    network = wan_vae if isinstance(decoder, wan_vae.VAEConfig) else taehv
    return _decoder_alone(network.init_params(decoder, 0), decoder.compute_dtype)


def _decoder_alone(params: dict, dtype: str) -> dict:
    return {"decoder": jax.tree.map(lambda a: a.astype(dtype), params["decoder"])}


def _load(ckpt: str, component: Component, dtype: Any) -> tuple[Any, dict]:
    with tqdm(desc=f"loading {component.name}", unit=" weights", unit_scale=True) as bar:
        return load_params(ckpt, component, dtype=dtype, progress=_advance(bar))


def _advance(bar: tqdm) -> Callable[[int, int], None]:
    def advance(done: int, total: int) -> None:
        bar.total = total
        bar.update(done)

    return advance
