"""The source as target cameras see it: a video (v1), or images merged by depth (v1.5)."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ports.inspatio_world.source.splat import Projection, nearness, project, splat

UNKNOWN = -1.0
"""Colour of what the source does not show."""
_DEPTHS = (1e-4, 1e4)  # that v1 clips to, scene units
_AT_ONCE = 4  # frames


class Views(NamedTuple):
    """Images with depth, of one camera each."""

    images: jax.Array  # [n, h, w, 3] in [-1, 1], or uint8
    depth: jax.Array  # [n, h, w], along the viewing direction; 0 or less where it is not known
    intrinsics: jax.Array  # [n, 4] fx, fy, cx, cy in pixels


class Render(NamedTuple):
    """What target cameras see of the source."""

    frames: jax.Array  # [n, h, w, 3] in [-1, 1], -1 where nothing is known
    known: jax.Array  # bool [n, h, w]


@jax.jit
def render_video(views: Views, motion: jax.Array, target_intrinsics: jax.Array) -> Render:
    """Render every frame of a video into its own target camera (v1).

    Depths are compared on one scale, the largest of the whole video: the render of a frame depends on all others.

    Args:
        views: the frames; pixels without a depth are not drawn.
        motion: from the source's camera frame to the target's ``[n, 4, 4]``.
        target_intrinsics: fx, fy, cx, cy in pixels ``[4]``.
    """
    find = functools.partial(_see, target_intrinsics=target_intrinsics)
    scale = jnp.max(jax.lax.map(lambda frame: jnp.max(nearness(find(*frame).depth)), (views, motion)))

    def draw(frame):
        view, _ = frame
        seen = find(*frame)
        colours, known = splat(as_colours(view.images), seen, (seen.depth >= 0) & (view.depth > 0), scale)
        return Render(_finish(colours, known), known)

    return jax.lax.map(draw, (views, motion), batch_size=_AT_ONCE)


def _see(view: Views, motion, *, target_intrinsics) -> Projection:
    return project(jnp.clip(view.depth, *_DEPTHS), view.intrinsics, motion, target_intrinsics)


@jax.jit
def render_views(views: Views, motion: jax.Array, target_intrinsics: jax.Array) -> tuple[Render, jax.Array]:
    """Render images into target cameras, each image on its own, and keep what is nearest (v1.5).

    Args:
        views: ``k`` images; pixels without a depth are not drawn.
        motion: from each source's camera frame to each target's ``[n, k, 4, 4]``.
        target_intrinsics: fx, fy, cx, cy in pixels ``[4]``.

    Returns:
        The render, and how many pixels of each image every target sees, int32 ``[n, k]``.
    """

    def draw_one(view: Views, motion):
        seen = project(view.depth, view.intrinsics, motion, target_intrinsics)
        shows = (view.depth > 0) & (seen.depth > 0)
        values = jnp.concatenate([as_colours(view.images), seen.depth[..., None]], axis=-1)
        drawn, known = splat(values, seen, shows, jnp.max(nearness(seen.depth)))
        return drawn[..., :3], jnp.where(known, drawn[..., 3], jnp.inf), known

    def draw(motion):
        colours, depth, known = jax.lax.map(lambda pair: draw_one(*pair), (views, motion))
        nearest = jnp.argmin(depth, axis=0)  # the first of equals
        colours = jnp.take_along_axis(colours, nearest[None, ..., None], axis=0)[0]
        seen = known.any(axis=0)
        return Render(_finish(colours, seen), seen), known.sum(axis=(1, 2), dtype=jnp.int32)

    return jax.lax.map(draw, motion, batch_size=_AT_ONCE)


def as_colours(images: jax.Array) -> jax.Array:
    """Turn uint8 images into float32 in [-1, 1]; leave others as they are."""
    return images.astype(jnp.float32) / 127.5 - 1 if images.dtype == jnp.uint8 else images


def _finish(colours: jax.Array, known: jax.Array) -> jax.Array:
    return jnp.where(known[..., None], jnp.clip(colours, -1, 1), UNKNOWN)
