"""The camera as LingBot-World sees it: every frame's rays, relative to the frame before."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from worldkv_jax.cameras import (
    DEFAULT_INTRINSICS,
    camera_channels,
    relative,
    relative_to_first,
    rescale_intrinsics,
    translation_scale,
)


class Lens(NamedTuple):
    """What turns the poses of a chunk into conditioning; the poses themselves are the chunk's cameras."""

    intrinsics: jax.Array  # [B, 4] fx, fy, cx, cy in pixels of the video's size
    scale: jax.Array  # [B] scene units that motion between two latent frames is divided by
    actions: jax.Array | None = None  # [B, F, 4] keys W, A, S, D, for checkpoints of control "act"


def motion_scale(poses: np.ndarray) -> float:
    """Return what LingBot-World divides the motion along a path by: the longest step between latent frames.

    A live camera, whose path is not known yet, needs a guess instead: its fastest motion.

    Args:
        poses: ``[n, 4, 4]`` camera-to-world poses of all latent frames.
    """
    return translation_scale(relative_to_first(poses, framewise=True))


def make_lens(
    size: tuple[int, int],
    *,
    scale: float = 1.0,
    intrinsics: ArrayLike = DEFAULT_INTRINSICS,
    actions: np.ndarray | None = None,
) -> Lens:
    """Make the lens of one world.

    Args:
        size: height and width of the video in pixels.
        scale: see `motion_scale`.
        intrinsics: fx, fy, cx, cy ``[4]`` or ``[n, 4]`` at 480 x 832 pixels; of several rows the first counts, as
            in the released code.
        actions: key states W, A, S, D ``[F, 4]`` of the chunk's latent frames.
    """
    first = rescale_intrinsics(intrinsics, size).reshape(-1, 4)[0]
    keys = None if actions is None else jnp.asarray(actions, jnp.float32)[None]
    return Lens(jnp.asarray(first, jnp.float32)[None], jnp.full((1,), scale, jnp.float32), keys)


def steps(previous: jax.Array, poses: jax.Array, scale: jax.Array) -> jax.Array:
    """Express each pose of one world in the camera frame of the one before.

    Args:
        previous: ``[4, 4]`` the latent frame before the first one; the first itself where a rollout begins.
        poses: ``[F, 4, 4]`` camera-to-world.
        scale: what translations are divided by.

    Returns:
        ``[F, 4, 4]``.
    """
    moves = relative(jnp.concatenate([previous[None], poses[:-1]]), poses)
    return moves.at[:, :3, 3].divide(scale)


def camera_cells(previous: jax.Array, poses: jax.Array, lens: Lens, size: tuple[int, int]) -> jax.Array:
    """Compute the camera channels of a chunk's latent cells.

    Args:
        previous: ``[B, 4, 4]`` camera of the latent frame before the chunk, see `steps`.
        poses: ``[B, F, 4, 4]`` camera-to-world poses of the chunk.
        lens: intrinsics, scale and actions.
        size: height and width of the video in pixels.

    Returns:
        ``[B, F, rows, columns, 384]``, or 448 channels with actions; float32.
    """

    def one_world(previous, poses, lens: Lens):
        channels = camera_channels(steps(previous, poses, lens.scale), lens.intrinsics, size, actions=lens.actions)
        return jnp.moveaxis(channels, 0, -1)

    return jax.vmap(one_world)(previous, poses, lens)
