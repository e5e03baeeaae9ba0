"""Forward splatting: every pixel of a depth image is drawn where another camera sees it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

_SHARPNESS = 50.0  # of the preference for what is near
_FARTHEST = 1000.0  # depth at which it ends, scene units


class Projection(NamedTuple):
    """Where the pixels of an image are seen from another camera."""

    position: jax.Array  # [..., h, w, 2] column and row
    depth: jax.Array  # [..., h, w]


def project(depth: jax.Array, intrinsics: jax.Array, motion: jax.Array, target_intrinsics: jax.Array) -> Projection:
    """Find where a target camera sees the pixels of depth images.

    Args:
        depth: ``[..., h, w]``, along the viewing direction.
        intrinsics: fx, fy, cx, cy of the source in pixels ``[..., 4]``; pixel centres are whole numbers.
        motion: from the source's camera frame to the target's ``[..., 4, 4]``.
        target_intrinsics: of the target ``[..., 4]``.
    """
    height, width = depth.shape[-2:]
    fx, fy, cx, cy = _columns(intrinsics)
    x = (jnp.arange(width, dtype=jnp.float32)[None] - cx) / fx
    y = (jnp.arange(height, dtype=jnp.float32)[:, None] - cy) / fy
    # Written out: a matrix product would be rounded to TF32 on a GPU, which is a tenth of a pixel.
    ray = motion[..., :3, :3, None, None]
    ray = ray[..., 0, :, :] * x[..., None, :, :] + ray[..., 1, :, :] * y[..., None, :, :] + ray[..., 2, :, :]
    point = ray * depth[..., None, :, :] + motion[..., :3, 3, None, None]
    fx, fy, cx, cy = _columns(target_intrinsics)
    near = point[..., 2, :, :]
    return Projection(
        jnp.stack([fx * point[..., 0, :, :] / near + cx, fy * point[..., 1, :, :] / near + cy], axis=-1), near
    )


def _columns(intrinsics: jax.Array) -> list[jax.Array]:
    """Return fx, fy, cx and cy, each ``[..., 1, 1]``."""
    return [intrinsics[..., i, None, None].astype(jnp.float32) for i in range(4)]


def nearness(depth: jax.Array) -> jax.Array:
    """Return the logarithm by which depths are compared; its largest value in an image or video is their scale."""
    return jnp.log(1 + jnp.clip(depth, 0, _FARTHEST))


def splat(values: jax.Array, seen: Projection, shows: jax.Array, scale: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Draw one image.

    Each pixel is spread over the four pixels around its position, near ones with far more weight. A position on a
    whole number counts four times, as in the released code (InSpatio-World specification, section 5.4). Sums are
    in no fixed order on a GPU, so that the last digits of a value may differ from run to run.

    Args:
        values: ``[h, w, c]``.
        seen: where they are seen.
        shows: bool ``[h, w]``, pixels to draw.
        scale: largest `nearness`, of this image or of the whole video.

    Returns:
        Weighted means ``[h, w, c]``, 0 where nothing was drawn, and where something was, bool ``[h, w]``.
    """
    height, width = shows.shape
    shows = shows & jnp.isfinite(seen.position).all(axis=-1)
    # One more pixel on every side takes what falls outside.
    edge = jnp.array([[[width + 1, height + 1]]], jnp.float32)
    place = jnp.clip(jnp.where(shows[..., None], seen.position + 1, 0.0), 0, edge)
    weight = jnp.exp(-_SHARPNESS * nearness(seen.depth) / jnp.maximum(scale, 1e-6))
    weight = jnp.where(shows, weight, 0.0)
    low, high = jnp.floor(place), jnp.ceil(place)
    canvas = jnp.zeros(((height + 2) * (width + 2), values.shape[-1] + 1), jnp.float32)
    values = jnp.concatenate([values.astype(jnp.float32), jnp.ones((height, width, 1))], axis=-1)
    for column in (low[..., 0], high[..., 0]):
        for row in (low[..., 1], high[..., 1]):
            share = (1 - jnp.abs(place[..., 1] - row)) * (1 - jnp.abs(place[..., 0] - column)) * weight
            cell = (row * (width + 2) + column).astype(jnp.int32)
            canvas = canvas.at[cell.reshape(-1)].add((values * share[..., None]).reshape(-1, values.shape[-1]))
    canvas = canvas.reshape(height + 2, width + 2, -1)[1:-1, 1:-1]
    total = canvas[..., -1:]
    known = total > 0
    return jnp.where(known, canvas[..., :-1] / jnp.where(known, total, 1.0), 0.0), known[..., 0]
