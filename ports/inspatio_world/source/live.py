"""Filming while somebody steers: each chunk is rendered and encoded when its cameras are known (v1.5)."""

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from ports.inspatio_world.backbone import InSpatioWorld, Source
from ports.inspatio_world.source.footage import render_frames
from ports.inspatio_world.source.frames import bounce
from ports.inspatio_world.source.masks import pack_mask
from ports.inspatio_world.source.render import Render, as_colours
from ports.inspatio_world.source.scene import Scene
from ports.wan.autoencoders.wan_vae import VAEConfig, encode_next
from ports.wan.latents import CHUNK_FRAMES, FRAMES_PER_LATENT, frames_of
from worldkv_jax.cameras import interpolate
from worldkv_jax.rollout import CameraSource, ChunkInput, live_chunks


def film_live(
    backbone: InSpatioWorld,
    vae: VAEConfig,
    coder: dict,
    scene: Scene,
    text: jax.Array,
    cameras: CameraSource,
    *,
    worlds: int,
) -> Iterator[ChunkInput]:
    """Film a scene chunk by chunk.

    Between the latent frames that cameras are given for they move evenly; a video runs on meanwhile, back and forth.

    Args:
        backbone: the model.
        vae: what encodes.
        coder: its parameters.
        scene: a video, or one image.
        text: ``[rows, text_dim]`` embedding of the prompt.
        cameras: asked for the poses of each chunk's latent frames, camera-to-world in the scene's own coordinates.
        worlds: worlds in the batch; all are given the same.

    Raises:
        ValueError: a scene of several images of one moment, which only a whole path can be chosen for.
    """
    if scene.kind == "image" and len(scene) > 1:
        raise ValueError(f"the scene has {len(scene)} images of one moment; live cameras take a video, or one image")
    shown: list[np.ndarray] = []
    states: dict[str, tuple | None] = {"reference": None, "render": None}

    def ask(chunk: int) -> np.ndarray | None:
        poses = cameras(chunk)
        if poses is not None:
            poses = np.asarray(poses, np.float64)
            shown.append(poses[0] if poses.ndim == 4 else poses)
        return poses

    def encode(name: str, frames: jax.Array) -> jax.Array:
        latents, states[name] = _encode(vae, coder, frames[None], states[name])
        return latents

    def conditions(chunk: int) -> Source:
        numbers, targets = _frames_of_chunk(chunk, shown)
        source = bounce(len(scene), numbers)
        render: Render = render_frames(scene, scene.intrinsics, source, targets)
        mask = pack_mask(_from_the_first(render.known, chunk)[None])[:, -CHUNK_FRAMES:]
        made = Source(
            encode("reference", as_colours(jnp.asarray(scene.frames[source]))),
            mask,
            encode("render", render.frames),
            text[None],
        )
        del shown[:-1]
        return jax.tree.map(lambda part: jnp.repeat(part, worlds, axis=0), made) if worlds > 1 else made

    return live_chunks(ask, backbone.spec, worlds=worlds, conditions=conditions)


def _frames_of_chunk(chunk: int, shown: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of a chunk's frames in the video, and a camera for each."""
    times = FRAMES_PER_LATENT * np.arange(CHUNK_FRAMES)
    last = frames_of(CHUNK_FRAMES * (chunk + 1))
    first = frames_of(CHUNK_FRAMES * chunk) if chunk else 0
    path, known = shown[-1], times
    if chunk and len(shown) > 1:  # from where the chunk before ended
        path, known = np.concatenate([shown[-2][-1:], path]), np.append(-FRAMES_PER_LATENT, times)
    wanted = np.arange(first, last) - (last - 1) + times[-1]
    return np.arange(first, last), interpolate(path, known, np.maximum(wanted, known[0]), dtype=np.float64)


def _from_the_first(known: jax.Array, chunk: int) -> jax.Array:
    """Let the mask of a later chunk begin with a frame of its own, as that of a whole video does."""
    return known if chunk == 0 else jnp.concatenate([known[:1], known])


@functools.partial(jax.jit, static_argnums=0)
def _encode(config: VAEConfig, coder: dict, frames: jax.Array, state) -> tuple[jax.Array, tuple]:
    return encode_next(config, coder, frames, state)
