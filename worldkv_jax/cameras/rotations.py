"""Rotation matrices: nearest, mean, and the angle between two; NumPy on the host, JAX under jit and vmap."""

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from worldkv_jax.cameras._namespace import A, as_float, namespace, product, root

_FLAT = 1e-6  # a sum of singular values below this is rounding noise of matrices near 1


def nearest_rotation(matrices: A) -> A:
    """Project matrices on the rotations SO(3), nearest in the Frobenius norm.

    Args:
        matrices: ``[..., 3, 3]``, NumPy or JAX. Where the smallest singular value is zero (the mean of
            opposite rotations) several rotations are equally near and one of them is returned.

    Returns:
        Rotations ``[..., 3, 3]`` with determinant +1; float64 for NumPy input, float32 for JAX.
    """
    xp = namespace(matrices)
    (values,) = as_float(xp, matrices)
    nearest: Any = _project(xp, values)[0] if xp is np else _nearest_rotation(values)
    return nearest


def _project(xp: ModuleType, matrices: Any) -> tuple[Any, Any, Any]:
    """Return the nearest rotation, and ``s [..., 3]``, ``V^T`` of ``matrices = rotation V diag(s) V^T``."""
    u, s, vt = xp.linalg.svd(matrices)
    # U V^T may be a reflection; turning the axis of the smallest singular value makes the nearest rotation.
    flip = xp.where(xp.linalg.det(product(u, vt)) < 0, -1.0, 1.0).astype(u.dtype)
    signs = xp.stack([xp.ones_like(flip), xp.ones_like(flip), flip], axis=-1)
    return product(u * signs[..., None, :], vt), s * signs, vt


@jax.custom_jvp
def _nearest_rotation(matrices: jax.Array) -> jax.Array:
    return _project(jnp, matrices)[0]


@_nearest_rotation.defjvp
def _differentiate(primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[jax.Array, jax.Array]:
    """Differentiate the polar decomposition: finite where singular values are equal, as those of a rotation are.

    The gradient of the singular vectors themselves is not. Where two values add up to nothing the nearest rotation
    jumps, and its gradient is taken as zero.
    """
    rotation, s, vt = _project(jnp, primals[0])
    v = vt.mT
    change = product(rotation.mT, tangents[0])
    turn = product(product(vt, change - change.mT), v)
    total = s[..., :, None] + s[..., None, :]
    turn = jnp.where(jnp.abs(total) > _FLAT, turn / jnp.where(jnp.abs(total) > _FLAT, total, 1.0), 0.0)
    return rotation, product(rotation, product(product(v, turn), vt))


def mean_rotation(rotations: A, axis: int = 0) -> A:
    """Average rotations: the rotation nearest to their element-wise mean (the chordal L2 mean).

    The published WorldKV code stops at the element-wise mean, which is no rotation, so that a chunk that
    turns looks far from itself; the projection mends that.

    Args:
        rotations: ``[..., n, ..., 3, 3]``, NumPy or JAX.
        axis: the axis to average over, one of those before the last two.

    Returns:
        Rotations without that axis, ``[..., 3, 3]``; a single one as it is, without a decomposition.
    """
    (values,) = as_float(namespace(rotations), rotations)
    mean: Any = values.mean(axis)
    return mean if values.shape[axis] == 1 else nearest_rotation(mean)


def rotation_angle(a: A, b: A) -> A:
    """Measure the angle that turns rotation ``a`` into rotation ``b``.

    From both sine and cosine, so it is as exact near 0 and pi as in between (an arc cosine alone loses half
    of the digits there).

    Args:
        a: rotations ``[..., 3, 3]``, NumPy or JAX.
        b: rotations ``[..., 3, 3]``; leading axes broadcast against those of ``a``.

    Returns:
        Angles ``[...]`` in radians, in [0, pi].
    """
    xp = namespace(a, b)
    a, b = as_float(xp, a, b)
    turn = product(xp.swapaxes(a, -1, -2), b)
    x = turn[..., 2, 1] - turn[..., 1, 2]
    y = turn[..., 0, 2] - turn[..., 2, 0]
    z = turn[..., 1, 0] - turn[..., 0, 1]
    twice_sine = root(x * x + y * y + z * z)
    twice_cosine = turn[..., 0, 0] + turn[..., 1, 1] + turn[..., 2, 2] - 1
    return xp.arctan2(twice_sine, twice_cosine)
