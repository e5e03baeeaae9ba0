"""Looking ahead: what the next chunk needs from the host moves to the device while this one is generated."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from worldkv_jax.memory import Arriving, WorldMemory, correct, pick_ahead, prefetch


class NothingToFetch:
    """What a bank on the device needs."""

    def take(self, memory: WorldMemory, cameras: jax.Array) -> None:
        """Return nothing."""

    def fetch(self, memory: WorldMemory) -> None:
        """Do nothing."""

    def pick(self, memory: WorldMemory) -> None:
        """Do nothing."""


class KnownCameras:
    """Fetches for cameras that are known ahead, so that nothing is fetched in vain."""

    def __init__(self, cameras: Sequence[jax.Array]):
        self._following = list(cameras)[::-1]  # the next one last
        self._picks = self._arriving = None

    def take(self, memory: WorldMemory, cameras: jax.Array) -> Arriving | None:
        """Return what was fetched for the next chunk, before it is generated."""
        self._following.pop()
        arriving, self._arriving = self._arriving, None
        return arriving

    def fetch(self, memory: WorldMemory) -> None:
        """Begin to fetch for the chunk after it, when its own chunks are packed."""
        if self._following:
            self._arriving = prefetch(memory, self._following[-1], picks=self._picks)

    def pick(self, memory: WorldMemory) -> None:
        """Pick for the chunk after the next, behind the work of the one just made and ahead of its decoding."""
        self._picks = pick_ahead(memory, self._following[-2]) if len(self._following) > 1 else None


class LateCameras:
    """Fetches for the cameras that would continue the motion, and what it missed when the real ones are known."""

    def __init__(self):
        self._cameras = self._guess = None

    def take(self, memory: WorldMemory, cameras: jax.Array) -> Arriving | None:
        """Return what the next chunk needs, if a guess was made for it."""
        self._cameras, guess, self._guess = cameras, self._guess, None
        return None if guess is None else correct(memory, cameras, guess)

    def fetch(self, memory: WorldMemory) -> None:
        """Begin to fetch for a guess of the chunk after it."""
        self._guess = prefetch(memory, continue_motion(self._cameras))

    def pick(self, memory: WorldMemory) -> None:
        """Do nothing: whatever was picked now, the real cameras would have to confirm."""


def look_ahead(memory: WorldMemory, cameras: Sequence[jax.Array] | None) -> NothingToFetch | KnownCameras | LateCameras:
    """Choose how to look ahead, given the cameras of all chunks to come, or ``None`` if they come live."""
    if memory.on_device:
        return NothingToFetch()
    return LateCameras() if cameras is None else KnownCameras(cameras)


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
