"""Camera rays per pixel and their packing into latent cells, as LingBot-World feeds them to the network."""

import numpy as np

from worldkv_jax.cameras._namespace import A, as_float, namespace, product


def ray_directions(poses: A, intrinsics: A, size: tuple[int, int]) -> A:
    """Compute the unit viewing direction of every pixel centre.

    Args:
        poses: camera-to-world ``[..., 4, 4]``, NumPy or JAX; relative ones for conditioning.
        intrinsics: fx, fy, cx, cy in pixels of this image size, ``[4]`` or ``[..., 4]``.
        size: height and width of the image in pixels.

    Returns:
        Directions ``[..., height, width, 3]`` in the world frame, float32. A full-size frame takes 4.8 MB:
        ask chunk by chunk rather than for a whole path.
    """
    xp = namespace(poses, intrinsics)
    poses, intrinsics = as_float(xp, poses, intrinsics)
    height, width = size
    fx, fy, cx, cy = (intrinsics[..., i, None, None] for i in range(4))
    lead = [1] * (intrinsics.ndim - 1)
    column = xp.arange(width, dtype=poses.dtype).reshape(*lead, 1, width) + 0.5
    row = xp.arange(height, dtype=poses.dtype).reshape(*lead, height, 1) + 0.5
    x, y = xp.broadcast_arrays((column - cx) / fx, (row - cy) / fy)
    camera = xp.stack([x, y, xp.ones_like(x)], axis=-1)
    camera = camera / xp.sqrt((camera * camera).sum(-1, keepdims=True))
    # One product a frame, pixels as rows.
    rows = camera.reshape(*camera.shape[:-3], height * width, 3)
    world = product(rows, xp.swapaxes(poses[..., :3, :3], -1, -2))
    world = world.reshape(*world.shape[:-2], height, width, 3)
    return world.astype(np.float32)


def rays(poses: A, intrinsics: A, size: tuple[int, int]) -> A:
    """Compute origin and direction of the ray through every pixel centre.

    LingBot-World calls this its Plücker embedding although it holds ``[o, d]``, not the moment ``o x d``.

    Args:
        poses: camera-to-world ``[..., 4, 4]``, NumPy or JAX; relative ones for conditioning.
        intrinsics: fx, fy, cx, cy in pixels of this image size, ``[4]`` or ``[..., 4]``.
        size: height and width of the image in pixels.

    Returns:
        Rays ``[..., height, width, 6]``: origin in scene units, then unit direction; float32.
    """
    xp = namespace(poses, intrinsics)
    direction = ray_directions(poses, intrinsics, size)
    origin = xp.asarray(poses[..., None, None, :3, 3], dtype=direction.dtype)
    return xp.concatenate([xp.broadcast_to(origin, direction.shape), direction], axis=-1)


def pack_cells(maps: A, cell: int = 8) -> A:
    """Move the pixels of every square cell to channels, so that a map has the size of the latents.

    Args:
        maps: ``[frames, height, width, components]``, NumPy or JAX.
        cell: cell side in pixels, the VAE's spatial stride.

    Returns:
        ``[components * cell**2, frames, height / cell, width / cell]``; channel
        ``component * cell**2 + row in cell * cell + column in cell``.

    Raises:
        ValueError: height or width is not a multiple of ``cell``.
    """
    frames, height, width, components = maps.shape
    if height % cell or width % cell:
        raise ValueError(f"image size {height}x{width} is not a multiple of the cell {cell}; resize or crop it")
    split = maps.reshape(frames, height // cell, cell, width // cell, cell, components)
    return split.transpose(5, 2, 4, 0, 1, 3).reshape(-1, frames, height // cell, width // cell)


def camera_channels(poses: A, intrinsics: A, size: tuple[int, int], *, actions: A | None = None, cell: int = 8) -> A:
    """Make the camera conditioning of LingBot-World for some latent frames.

    Args:
        poses: relative camera-to-world ``[f, 4, 4]``, NumPy or JAX.
        intrinsics: fx, fy, cx, cy in pixels of this image size, ``[4]`` or ``[f, 4]``.
        size: height and width of the image in pixels.
        actions: key states W, A, S, D ``[f, 4]``, for a checkpoint trained on actions: the channels are then
            ray directions and keys, without ray origins.
        cell: side of a latent cell in pixels.

    Returns:
        ``[384, f, h, w]`` (rays), or ``[448, f, h, w]`` with actions, at the default cell of 8 pixels.

    Raises:
        ValueError: ``size`` is not a multiple of ``cell``, or the rows of ``actions`` do not match the poses.
    """
    if actions is None:
        return pack_cells(rays(poses, intrinsics, size), cell)
    xp = namespace(poses, intrinsics, actions)
    direction = ray_directions(poses, intrinsics, size)
    if actions.ndim != 2 or len(actions) != len(poses):
        raise ValueError(f"actions has shape {actions.shape}, expected ({len(poses)}, 4): one row a latent frame")
    keys = xp.asarray(actions, dtype=direction.dtype)[:, None, None, :]
    keys = xp.broadcast_to(keys, (*direction.shape[:-1], actions.shape[-1]))
    return pack_cells(xp.concatenate([direction, keys], axis=-1), cell)
