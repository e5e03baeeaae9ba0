"""Random views: cameras to fill an index with, where none have been filmed."""

import itertools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial.transform import Rotation


def random_cameras(rng: np.random.Generator, chunks: int, frames: int) -> np.ndarray:
    """Draw rigid cameras ``[chunks, frames, 4, 4]`` float32: anywhere in a room, moving forward a little."""
    turn = Rotation.from_quat(rng.normal(size=(chunks, 4))).as_matrix()
    cameras = np.broadcast_to(np.eye(4), (chunks, frames, 4, 4)).copy()
    cameras[..., :3, :3] = turn[:, None]
    steps = 0.1 * np.arange(frames)[:, None] * turn[:, None, :, 2]
    cameras[..., :3, 3] = rng.uniform(-10, 10, size=(chunks, 1, 3)) + steps
    return cameras.astype(np.float32)


def cycle_views(rng: np.random.Generator, frames: int) -> Iterator[jax.Array]:
    """Repeat a few views ``[1, F, 4, 4]`` for ever, so that picks change from call to call."""
    return itertools.cycle([jnp.asarray(view[None]) for view in random_cameras(rng, 16, frames)])
