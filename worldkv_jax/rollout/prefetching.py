"""Prefetching: what the next chunk needs from the host moves to the device while this one is generated."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from worldkv_jax.memory import WorldMemory
from worldkv_jax.memory.bank import Fetched
from worldkv_jax.memory.prefetching import correct, pick_ahead, prefetch


class NoPrefetch:
    """For a bank on the device, whose chunks need no move."""

    def take(self, memory: WorldMemory, cameras: jax.Array) -> None:
        """Return ``None``: `recall` reads the bank where it is."""

    def fetch(self, memory: WorldMemory) -> None:
        """Do nothing."""

    def pick(self, memory: WorldMemory) -> None:
        """Do nothing."""


class KnownPathPrefetcher:
    """Prefetches for a camera path that is known ahead, so that nothing is fetched in vain."""

    def __init__(self, cameras: Sequence[jax.Array]):
        self._following = list(cameras)[::-1]  # the next one last
        self._picks = self._fetched = None

    def take(self, memory: WorldMemory, cameras: jax.Array) -> Fetched | None:
        """Return what was fetched for the next chunk, before it is generated."""
        self._following.pop()
        fetched, self._fetched = self._fetched, None
        return fetched

    def fetch(self, memory: WorldMemory) -> None:
        """Begin to fetch for the chunk after it, when its own chunks are packed."""
        if self._following:
            self._fetched = prefetch(memory, self._following[-1], picks=self._picks)

    def pick(self, memory: WorldMemory) -> None:
        """Pick for the chunk after the next, behind the work of the one just made and ahead of its decoding."""
        self._picks = pick_ahead(memory, self._following[-2]) if len(self._following) > 1 else None


class SpeculativePrefetcher:
    """Prefetches for cameras that would continue the motion; fetches what is missing when the real ones are known."""

    def __init__(self):
        self._cameras = self._guess = None

    def take(self, memory: WorldMemory, cameras: jax.Array) -> Fetched | None:
        """Return what the next chunk needs, if a guess was made for it."""
        self._cameras, guess, self._guess = cameras, self._guess, None
        return None if guess is None else correct(memory, cameras, guess)

    def fetch(self, memory: WorldMemory) -> None:
        """Begin to fetch for a guess of the chunk after it."""
        if self._cameras is not None:
            self._guess = prefetch(memory, continue_motion(self._cameras))

    def pick(self, memory: WorldMemory) -> None:
        """Do nothing: whatever was picked now, the real cameras would have to confirm."""


def choose_prefetcher(
    memory: WorldMemory, cameras: Sequence[jax.Array] | None
) -> NoPrefetch | KnownPathPrefetcher | SpeculativePrefetcher:
    """Choose how to prefetch, given the cameras of all chunks to come, or ``None`` if they come live."""
    if memory.jittable:
        return NoPrefetch()
    return SpeculativePrefetcher() if cameras is None else KnownPathPrefetcher(cameras)


def continue_motion(cameras: Float[Array, "B F 4 4"]) -> Float[Array, "B F 4 4"]:
    """Predict the next chunk's cameras ``[B, F, 4, 4]``: the motion between this chunk's last two, again and again."""
    poses = np.asarray(cameras, np.float64)
    last, before = poses[:, -1], poses[:, max(0, poses.shape[1] - 2)]
    step = np.linalg.inv(before) @ last
    coming: list[np.ndarray] = []
    for _ in range(poses.shape[1]):
        last = last @ step
        coming.append(last)
    return jnp.asarray(np.stack(coming, axis=1), jnp.float32)
