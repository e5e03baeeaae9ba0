"""Filming while somebody steers: each chunk is rendered and encoded when its cameras are known (v1.5)."""

import dataclasses
import functools
from collections.abc import Iterator
from typing import NamedTuple

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


class Filmed(NamedTuple):
    """How far a scene is filmed: a value, from which one may go on any number of times."""

    chunk: int = 0
    last: np.ndarray | None = None  # [4, 4] the camera of the last latent frame
    reference: tuple | None = None  # what the encoder keeps of each
    render: tuple | None = None


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Camera:
    """Films a scene chunk by chunk.

    Between the latent frames that poses are given for it moves evenly; a video runs on meanwhile, back and forth.

    Raises:
        ValueError: a scene of several images of one moment, which only a whole path can be chosen for.
    """

    vae: VAEConfig
    """What encodes."""
    coder: dict
    """Its parameters."""
    scene: Scene
    """A video, or one image."""
    text: jax.Array
    """``[rows, text_dim]`` embedding of the prompt."""

    def __post_init__(self):
        if self.scene.kind == "image" and len(self.scene) > 1:
            raise ValueError(
                f"the scene has {len(self.scene)} images of one moment; live cameras take a video, or one image"
            )

    def film(self, filmed: Filmed, poses: np.ndarray) -> tuple[Filmed, Source]:
        """Film a chunk.

        Args:
            filmed: what was filmed before.
            poses: ``[F, 4, 4]`` of its latent frames, camera-to-world in the scene's own coordinates, float64.

        Returns:
            What is filmed then, and what the chunk is given of the source.
        """
        scene, chunk = self.scene, filmed.chunk
        numbers, targets = _frames_of_chunk(chunk, filmed.last, poses)
        source = bounce(len(scene), numbers)
        render: Render = render_frames(scene, scene.intrinsics, source, targets)
        mask = pack_mask(_from_the_first(render.known, chunk)[None])[:, -CHUNK_FRAMES:]
        frames = as_colours(jnp.asarray(scene.frames[source]))
        shown, reference = _encode(self.vae, self.coder, frames[None], filmed.reference)
        drawn, rendered = _encode(self.vae, self.coder, render.frames[None], filmed.render)
        return Filmed(chunk + 1, poses[-1], reference, rendered), Source(shown, mask, drawn, self.text[None])


def film_live(backbone: InSpatioWorld, camera: Camera, cameras: CameraSource, *, worlds: int) -> Iterator[ChunkInput]:
    """Film a scene while somebody steers.

    Args:
        backbone: the model.
        camera: what films.
        cameras: asked for the poses of each chunk's latent frames, camera-to-world in the scene's own coordinates.
        worlds: worlds in the batch; all are given the same.
    """
    filmed, shown = Filmed(), np.empty((0, 4, 4))

    def ask(chunk: int) -> np.ndarray | None:
        nonlocal shown
        given = cameras(chunk)
        if given is None:
            return None
        poses = np.asarray(given, np.float64)
        shown = poses[0] if poses.ndim == 4 else poses
        return poses

    def conditions(chunk: int) -> Source:
        nonlocal filmed
        filmed, made = camera.film(filmed, shown)
        return jax.tree.map(lambda part: jnp.repeat(part, worlds, axis=0), made) if worlds > 1 else made

    return live_chunks(ask, backbone.spec, worlds=worlds, conditions=conditions)


def _frames_of_chunk(chunk: int, last: np.ndarray | None, path: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of a chunk's frames in the video, and a camera for each."""
    times = FRAMES_PER_LATENT * np.arange(CHUNK_FRAMES)
    end = frames_of(CHUNK_FRAMES * (chunk + 1))
    first = frames_of(CHUNK_FRAMES * chunk) if chunk else 0
    known = times
    if last is not None:  # from where the chunk before ended
        path, known = np.concatenate([last[None], path]), np.append(-FRAMES_PER_LATENT, times)
    wanted = np.arange(first, end) - (end - 1) + times[-1]
    return np.arange(first, end), interpolate(path, known, np.maximum(wanted, known[0]), dtype=np.float64)


def _from_the_first(known: jax.Array, chunk: int) -> jax.Array:
    """Let the mask of a later chunk begin with a frame of its own, as that of a whole video does."""
    return known if chunk == 0 else jnp.concatenate([known[:1], known])


@functools.partial(jax.jit, static_argnums=0)
def _encode(config: VAEConfig, coder: dict, frames: jax.Array, state) -> tuple[jax.Array, tuple]:
    return encode_next(config, coder, frames, state)
