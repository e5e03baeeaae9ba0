"""The point renderer of v1: coloured points as squares, at twice the size."""

import numpy as np

_SQUARE = range(-2, 3)
_NEAREST = 0.1  # scene units
_SAME_DEPTH = 1e-4


def render_points(points, colours, world_to_camera, intrinsics, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Draw a cloud of points; on the host.

    The nearest point wins, and among those as near the last (InSpatio-World specification, section 5.5).

    Args:
        points: ``[n, 3]``, world.
        colours: ``[n, 3]`` in [0, 1].
        world_to_camera: ``[4, 4]``.
        intrinsics: fx, fy, cx, cy in pixels of the image.
        size: height and width of the image.

    Returns:
        Image uint8 ``[h, w, 3]``, black where there are no points, and where there are, bool ``[h, w]``.
    """
    height, width = (2 * side for side in size)
    fx, fy, cx, cy = (np.float32(2 * value) for value in intrinsics)
    matrix = np.asarray(world_to_camera, np.float32)
    seen = np.asarray(points, np.float32) @ matrix[:3, :3].T + matrix[:3, 3]
    ahead = seen[:, 2] > _NEAREST
    x, y, z = seen[ahead].T
    colours = np.asarray(colours, np.float32)[ahead]
    u, v = fx * x / z + cx, fy * y / z + cy
    columns = np.concatenate([np.rint(u + dx) for _ in _SQUARE for dx in _SQUARE])
    rows = np.concatenate([np.rint(v + dy) for dy in _SQUARE for _ in _SQUARE])
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    place = (rows[inside].astype(int), columns[inside].astype(int))
    squares = len(_SQUARE) ** 2
    depth, colours = np.tile(z, squares)[inside], np.tile(colours, (squares, 1))[inside]
    nearest = np.full((height, width), np.inf, np.float32)
    np.minimum.at(nearest, place, depth)
    front = depth <= nearest[place] + _SAME_DEPTH
    image = np.zeros((height, width, 3), np.float32)
    image[place[0][front], place[1][front]] = colours[front]
    known = np.isfinite(nearest)
    bytes_ = (image * 255).astype(np.uint8).astype(np.uint16)
    mean = (bytes_.reshape(size[0], 2, size[1], 2, 3).sum(axis=(1, 3)) + 2) // 4
    return mean.astype(np.uint8), known[::2, ::2]
