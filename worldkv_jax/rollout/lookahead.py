"""Looking ahead: what the next chunk needs from the host moves to the device while this one is generated."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from worldkv_jax.memory import Arriving, WorldMemory, correct, pick_ahead, prefetch


class KnownCameras:
    """Fetches for cameras that are known ahead, so that nothing is fetched in vain."""

    def __init__(self, cameras: Sequence[jax.Array]):
        self._cameras = cameras
        self._begun = 0
        self._picks = self._moving = None

    def begin(self, memory: WorldMemory, cameras: jax.Array) -> Arriving | None:
        """Return what was fetched for this chunk, and begin to fetch for the next; call it before generating."""
        arriving, self._moving = self._moving, None
        self._begun += 1
        if self._begun < len(self._cameras):
            self._moving = prefetch(memory, self._cameras[self._begun], picks=self._picks)
        return arriving

    def end(self, memory: WorldMemory) -> None:
        """Pick for the chunk after the next, behind this chunk's work and ahead of its decoding."""
        self._picks = None
        if self._begun + 1 < len(self._cameras):
            self._picks = pick_ahead(memory, self._cameras[self._begun + 1])


class LateCameras:
    """Fetches for the cameras that would continue the motion, and what it missed when the real ones are known."""

    def __init__(self):
        self._guess = None

    def begin(self, memory: WorldMemory, cameras: jax.Array) -> Arriving | None:
        """Return what this chunk needs, if a guess was made for it, and guess for the next."""
        arriving = None if self._guess is None else correct(memory, cameras, self._guess)
        self._guess = prefetch(memory, continue_motion(cameras))
        return arriving

    def end(self, memory: WorldMemory) -> None:
        """Do nothing: whatever was picked now, the real cameras would have to confirm."""


def continue_motion(cameras: jax.Array) -> jax.Array:
    """Predict the next chunk's cameras ``[B, F, 4, 4]``: the motion between this chunk's last two, again and again."""
    poses = np.asarray(cameras, np.float64)
    last, before = poses[:, -1], poses[:, max(0, poses.shape[1] - 2)]
    step = np.linalg.inv(before) @ last
    coming = []
    for _ in range(poses.shape[1]):
        last = last @ step
        coming.append(last)
    return jnp.asarray(np.stack(coming, axis=1), jnp.float32)
