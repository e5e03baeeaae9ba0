"""View coverage: chunks that together have seen the next view, instead of each for itself."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float32, Int32

from worldkv_jax.cameras import points_seen
from worldkv_jax.memory.rules.overlap import ViewOverlap


@dataclasses.dataclass(frozen=True, kw_only=True)
class ViewCoverage(ViewOverlap):
    """View overlap in which chunks that were chosen already count: the next one should add what they lack.

    Every point of the next view is worth 1, and after each chosen chunk that has seen it ``repeat`` times as much
    as before. Chunks are chosen one after the other, each of the most worth; of equal ones the oldest, which drifted
    least.
    """

    repeat: float = 0.5
    """Worth of seeing a point once more; 0 counts every point once, 1 is `ViewOverlap`."""
    tolerance: float = 0.0
    """Share of the view by which a chunk may add less than the best one and still count as equal to it; half of what
    the best one adds at least."""

    def __post_init__(self):
        super().__post_init__()
        if not 0 <= self.tolerance < 1:
            raise ValueError(f"tolerance={self.tolerance} is outside [0, 1); it is a share of the view, 0 is exact")
        if not 0 <= self.repeat <= 1:
            raise ValueError(f"repeat={self.repeat} is outside [0, 1]; 0 counts every point once, 1 is plain overlap")

    def choose(
        self,
        query: Float32[Array, " D"],
        index: Float32[Array, "C D"],
        chunks: Int32[Array, " C"],
        valid: Bool[Array, " C"],
        k: int,
    ) -> tuple[Int32[Array, " k"], Float32[Array, " k"]]:
        """Choose greedily; scores are one minus the most that a chunk could add, in [0, 1]."""
        at, poses = self.poses(query, index, valid)
        seen = points_seen(at, poses, fov_degrees=self.fov_degrees, near=self.near, far=self.far)

        def pick(state: tuple[jax.Array, jax.Array], _: None) -> tuple[Any, Any]:
            worth, free = state
            added = jnp.where(free, jnp.mean(jnp.where(seen, worth, 0.0), axis=-1), -jnp.inf)
            best = added.max()
            equal = free & (added >= jnp.maximum(best - self.tolerance, best / 2))
            oldest = jnp.where(equal, chunks, jnp.iinfo(jnp.int32).max)
            slot = jnp.argmin(oldest).astype(jnp.int32)
            worth = jnp.where(seen[slot], worth * self.repeat, worth)
            return (worth, free.at[slot].set(False)), (slot, 1 - best)

        start = jnp.ones(seen.shape[1], jnp.float32), valid
        return jax.lax.scan(pick, start, length=k)[1]
