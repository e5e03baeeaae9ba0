"""The pinhole camera of all demo worlds: 90 degrees wide, pictures of three by two.

Poses are camera-to-world in OpenCV axes (x right, y down, z forward).
"""

import jax
import jax.numpy as jnp
import numpy as np

FIELD_OF_VIEW = 90.0  # degrees, horizontal


def intrinsics(height: int, width: int) -> np.ndarray:
    """Return ``fx, fy, cx, cy`` in pixels of a ``height x width`` picture, float32."""
    focal = width / 2 / np.tan(np.deg2rad(FIELD_OF_VIEW) / 2)
    return np.array([focal, focal, width / 2, height / 2], np.float32)


def pixel_rays(height: int, width: int) -> np.ndarray:
    """Return the rays through the centres of a ``height x width`` grid over the image, ``[h, w, 3]``, z = 1."""
    fx, fy, cx, cy = intrinsics(height, width)
    x, y = np.meshgrid((np.arange(width) + 0.5 - cx) / fx, (np.arange(height) + 0.5 - cy) / fy)
    return np.stack([x, y, np.ones_like(x)], axis=-1).astype(np.float32)


def world_rays(poses: jax.Array, size: tuple[int, int]) -> tuple[jax.Array, jax.Array]:
    """Return origins ``[F, 1, 1, 3]`` and directions ``[F, h, w, 3]`` of all pixels' rays in the world.

    A direction advances by 1 along the camera's axis, so what is as many directions away has that depth.
    """
    directions = jnp.einsum("fij,hwj->fhwi", poses[:, :3, :3], pixel_rays(*size))
    return poses[:, None, None, :3, 3], directions


def level_poses(yaw: jax.Array, ground: jax.Array) -> jax.Array:
    """Build camera-to-world poses ``[F, 4, 4]`` from yaw (radians, right is positive) and ``[F, 2]`` x, z."""
    cos, sin, zero, one = jnp.cos(yaw), jnp.sin(yaw), jnp.zeros_like(yaw), jnp.ones_like(yaw)
    x, z = ground[:, 0], ground[:, 1]
    rows = [[cos, zero, sin, x], [zero, one, zero, zero], [-sin, zero, cos, z], [zero, zero, zero, one]]
    return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)
