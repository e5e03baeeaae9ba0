"""View overlap: which part of what a camera sees now a stored chunk has seen before."""

import jax
import jax.numpy as jnp
import numpy as np


def view_overlap(
    query_poses: jax.Array,
    index_poses: jax.Array,
    *,
    fov_degrees: tuple[float, float] = (90.0, 60.0),
    near: float = 0.1,
    far: float = 10.0,
    samples: tuple[int, int, int] = (8, 6, 4),
) -> jax.Array:
    """Compute the fraction of the query's view that each stored chunk has in view.

    A fixed grid of points fills the view frustum of every query frame: equal cells of the image, at depths
    spaced evenly in log scale, so that near and far count alike. A point is seen by a chunk if it lies in
    the frustum of *any* of its frames: what one frame has seen is in the chunk's memory. The same views give
    1, opposite ones 0. Occlusion is unknown and ignored. ``1 - view_overlap(...)`` is a retrieval score.

    Args:
        query_poses: camera-to-world ``[F, 4, 4]`` of the chunk to come, OpenCV axes.
        index_poses: camera-to-world ``[C, G, 4, 4]`` of the frames of stored chunks.
        fov_degrees: full horizontal and vertical opening angle, the same for all cameras.
        near: depth at which views begin, scene units.
        far: depth at which they end.
        samples: points across, down and in depth for each query frame.

    Returns:
        Overlap ``[C]`` in [0, 1], float32. Works under jit and vmap (the keywords are static).

    Raises:
        ValueError: opening angles outside (0, 180), ``near >= far``, no samples, or wrong shapes.
    """
    seen = points_seen(query_poses, index_poses, fov_degrees=fov_degrees, near=near, far=far, samples=samples)
    return seen.mean(axis=-1, dtype=jnp.float32)


def points_seen(
    query_poses: jax.Array,
    index_poses: jax.Array,
    *,
    fov_degrees: tuple[float, float] = (90.0, 60.0),
    near: float = 0.1,
    far: float = 10.0,
    samples: tuple[int, int, int] = (8, 6, 4),
) -> jax.Array:
    """Tell which points of the query's view each stored chunk has in view: `view_overlap` before it is averaged.

    Returns:
        bool ``[C, F * points]``.
    """
    if (
        query_poses.ndim != 3
        or index_poses.ndim != 4
        or not (query_poses.shape[-2:] == index_poses.shape[-2:] == (4, 4))
    ):
        raise ValueError(
            f"query_poses {query_poses.shape} and index_poses {index_poses.shape}: expected [F, 4, 4] and [C, G, 4, 4]"
        )
    slope = _slopes(fov_degrees)
    points = jnp.asarray(_frustum_points(slope, near, far, samples), jnp.float32)
    query = jnp.asarray(query_poses, jnp.float32)

    def seen(chunk: jax.Array) -> jax.Array:
        # Relative poses first: two identical cameras far from the origin then differ by exactly zero.
        # HIGHEST because a GPU would round these products to TF32.
        exact = jax.lax.Precision.HIGHEST
        to_camera = chunk[:, :3, :3].mT
        turn = jnp.einsum("gij,fjk->fgik", to_camera, query[:, :3, :3], precision=exact)
        offset = query[:, None, :3, 3] - chunk[None, :, :3, 3]
        shift = jnp.einsum("gij,fgj->fgi", to_camera, offset, precision=exact)
        seen_at = jnp.einsum("fgik,pk->fgpi", turn, points, precision=exact) + shift[:, :, None, :]
        depth = seen_at[..., 2]
        in_view = (depth >= near) & (depth <= far)
        in_view &= (jnp.abs(seen_at[..., :2]) <= depth[..., None] * jnp.asarray(slope)[None, None, None]).all(-1)
        return in_view.any(axis=1).reshape(-1)

    # A few chunks at a time: a thousand at once would take 20 MB a query, times the batch under vmap.
    return jax.lax.map(seen, jnp.asarray(index_poses, jnp.float32), batch_size=128)


def _slopes(fov_degrees: tuple[float, float]) -> np.ndarray:
    fov = np.asarray(fov_degrees, np.float64)
    if fov.shape != (2,) or not ((fov > 0) & (fov < 180)).all():
        raise ValueError(f"fov_degrees={fov_degrees}: expected (horizontal, vertical), both between 0 and 180")
    return np.tan(np.radians(fov) / 2).astype(np.float32)


def _frustum_points(slope: np.ndarray, near: float, far: float, samples: tuple[int, int, int]) -> np.ndarray:
    """Place the middles of equal cells: image cells in the tangent plane, depth cells in log scale."""
    if not 0 < near < far:
        raise ValueError(f"near={near}, far={far}: expected 0 < near < far, in scene units")
    if len(samples) != 3 or min(samples) < 1:
        raise ValueError(f"samples={samples}: expected three positive counts (across, down, in depth)")
    across, down, deep = ((np.arange(count) + 0.5) / count for count in samples)
    x, y = (2 * across - 1) * slope[0], (2 * down - 1) * slope[1]
    z = near * (far / near) ** deep
    x, y, z = np.meshgrid(x, y, z, indexing="ij")
    return np.stack([x * z, y * z, z], axis=-1).reshape(-1, 3)
