"""What each chunk is given: footage and prompt, encoded."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from ports.inspatio_world.backbone import InSpatioWorld, Source
from ports.inspatio_world.source.footage import Footage
from ports.inspatio_world.source.frames import latent_frames
from ports.inspatio_world.source.masks import pack_mask
from ports.inspatio_world.source.render import as_colours
from ports.inspatio_world.source.scene import Scene
from ports.inspatio_world.source.shot import Shot
from ports.wan.autoencoders.wan_vae import VAEConfig, encode
from ports.wan.latents import CHUNK_FRAMES
from worldkv_jax.rollout import ChunkInput, chunk_inputs


def encode_footage(
    backbone: InSpatioWorld,
    vae: VAEConfig,
    coder: dict,
    scene: Scene,
    shot: Shot,
    footage: Footage,
    text: jax.Array,
) -> list[ChunkInput]:
    """Encode footage and cut it into chunks.

    Args:
        backbone: the model.
        vae: what encodes.
        coder: its parameters.
        scene: the source.
        shot: what was filmed.
        footage: of the shot.
        text: ``[rows, text_dim]`` embedding of the prompt.

    Returns:
        One input for each chunk, under the cameras that were rendered: those of every latent's last frame.
    """
    reference = _encode(vae, coder, as_colours(jnp.asarray(scene.frames[footage.source]))[None])
    render = _encode(vae, coder, footage.render.frames[None])
    mask = pack_mask(footage.render.known[None])
    poses = shot.targets[shot.index[latent_frames(shot.latents)]]
    chunks = [slice(i, i + CHUNK_FRAMES) for i in range(0, shot.latents, CHUNK_FRAMES)]
    given = [Source(reference[:, c], mask[:, c], render[:, c], text[None]) for c in chunks]
    return chunk_inputs(poses, backbone.spec, conditions=given)


@functools.partial(jax.jit, static_argnums=0)
def _encode(config: VAEConfig, coder: dict, video: jax.Array) -> jax.Array:
    return encode(config, coder, video)


def moments(shot: Shot) -> np.ndarray:
    """Return the frame of the source that each chunk shows, on average, ``[chunks]``."""
    shown = shot.source[shot.index[latent_frames(shot.latents)]]
    return shown.reshape(-1, CHUNK_FRAMES).mean(axis=1)
