"""Filming: a scene rendered into the cameras of a shot, frame by frame what the model is given."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ports.inspatio_world.source.cameras import render_intrinsics
from ports.inspatio_world.source.frames import whole_chunks
from ports.inspatio_world.source.render import Render, Views, render_video, render_views
from ports.inspatio_world.source.scene import Scene
from ports.inspatio_world.source.shot import Shot
from ports.inspatio_world.source.views import choose_views, overlap_of_latents
from ports.wan.latents import FRAMES_PER_LATENT
from worldkv_jax.cameras import relative


class Footage(NamedTuple):
    """What every frame of the result is made from."""

    source: np.ndarray  # int [t], frame of the scene
    render: Render  # of [t] frames
    notes: tuple[str, ...] = ()


def film(scene: Scene, shot: Shot, *, released: bool = False) -> Footage:
    """Render a scene into the cameras of a shot.

    Args:
        scene: the source.
        shot: what to film.
        released: the lens of v1 as the released code has it: the first frame's for all, centred.

    Raises:
        ValueError: the cameras see nothing of the scene.
    """
    lens = scene.intrinsics
    if released and shot.version == "v1":
        lens = np.tile(render_intrinsics(lens[0], scene.size), (len(scene), 1))
    source, target_lens = shot.source, jnp.asarray(lens[0], jnp.float32)
    if shot.version == "v1":
        motion = relative(shot.targets, scene.poses[source])
        render = render_video(_views(scene, lens, source), jnp.asarray(motion, jnp.float32), target_lens)
    elif scene.kind == "video":
        render = render_frames(scene, lens, source, shot.targets)
    else:
        motion = relative(shot.targets[:, None], scene.poses[None])
        views = _views(scene, lens, np.arange(len(scene)))
        render, pixels = render_views(views, jnp.asarray(motion, jnp.float32), target_lens)
        source = _stand_ins(np.asarray(pixels), len(scene), len(shot.targets))
    known = np.asarray(render.known.mean(axis=(1, 2)))[shot.index]
    notes = _check_known(known)
    return Footage(source[shot.index], jax.tree.map(lambda a: a[shot.index], render), notes)


def render_frames(scene: Scene, lens: np.ndarray, source: np.ndarray, targets: np.ndarray) -> Render:
    """Render frames of a scene, each into its own camera by the rules of v1.5.

    Args:
        scene: the source.
        lens: fx, fy, cx, cy of its frames, in pixels ``[n, 4]``; the first is the cameras'.
        source: frame of the scene for each camera, int ``[m]``.
        targets: camera-to-world ``[m, 4, 4]``.
    """
    motion = jnp.asarray(relative(targets, scene.poses[source]), jnp.float32)
    return _render_frames(_views(scene, lens, source), motion, jnp.asarray(lens[0], jnp.float32))


@jax.jit
def _render_frames(views: Views, motion: jax.Array, target_intrinsics: jax.Array) -> Render:
    """Render every frame of a video into its own camera by the rules of v1.5."""

    def draw(frame):
        view, motion = jax.tree.map(lambda a: a[None], frame)
        render, _ = render_views(view, motion[None], target_intrinsics)
        return jax.tree.map(lambda a: a[0], render)

    return jax.lax.map(draw, (views, motion))


def _views(scene: Scene, lens: np.ndarray, numbers: np.ndarray) -> Views:
    return Views(*(jnp.asarray(a[numbers]) for a in (scene.frames, scene.depth, lens.astype(np.float32))))


def _stand_ins(pixels: np.ndarray, images: int, frames: int) -> np.ndarray:
    """Return the image that stands for the source at each frame (v1.5)."""
    if images == 1:
        return np.zeros(frames, int)
    missing = whole_chunks(frames, "v1.5") - frames
    overlap = overlap_of_latents(np.concatenate([pixels, pixels[-1:].repeat(missing, axis=0)]))
    chosen = choose_views(overlap)
    return chosen[-(-np.arange(frames) // FRAMES_PER_LATENT)]


def _check_known(known: np.ndarray) -> tuple[str, ...]:
    empty = np.flatnonzero(known == 0)
    if len(empty) == len(known):
        raise ValueError(
            "the new cameras see nothing of the source: they look away from it or stand inside or behind it. Check "
            "that depth and poses are in one unit (--depth-scale) and that poses are what the file's format says "
            "(poses.npy camera-to-world, the text files world-to-camera), or take a shorter path"
        )
    notes = [f"the source shows {known.mean():.0%} of what the new cameras see"]
    if len(empty):
        notes.append(
            f"{len(empty)} of {len(known)} frames, the first being {empty[0]}, see nothing of the source: a camera "
            "that is inside or behind it; the model invents them"
        )
    return tuple(notes)
