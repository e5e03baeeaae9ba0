"""View overlap: chunks that have seen what the next view shows."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Float32

from worldkv_jax.cameras import view_overlap
from worldkv_jax.memory.rules.camera import CameraRule


@dataclasses.dataclass(frozen=True, kw_only=True)
class ViewOverlap(CameraRule):
    """Share of the next view that a stored chunk has not seen, from the two view frusta."""

    fov_degrees: tuple[float, float] = (90.0, 60.0)
    """Horizontal and vertical field of view of every camera."""
    near: float = 0.1
    """Depth at which views begin, scene units."""
    far: float = 10.0
    """Depth at which views end, scene units."""

    def __post_init__(self):
        object.__setattr__(self, "fov_degrees", tuple(map(float, self.fov_degrees)))  # a list is not hashable
        if len(self.fov_degrees) != 2 or not all(0 < fov < 180 for fov in self.fov_degrees):
            raise ValueError(
                f"fov_degrees={self.fov_degrees}: give (horizontal, vertical), both between 0 and 180 degrees"
            )
        if not 0 < self.near < self.far:
            raise ValueError(f"near={self.near}, far={self.far}: expected 0 < near < far, in scene units")

    def describe_cameras(self, cameras: Float[Array, "F 4 4"]) -> Float32[Array, " D"]:
        """Keep the chunk's poses."""
        return cameras.astype(jnp.float32).reshape(-1)

    def score(
        self, query: Float32[Array, " D"], index: Float32[Array, "C D"], valid: Bool[Array, " C"]
    ) -> Float32[Array, " C"]:
        """Score by one minus the view overlap, in [0, 1]."""
        query, index = query.reshape(-1, 4, 4), index.reshape(index.shape[0], -1, 4, 4)
        return 1 - view_overlap(query, index, fov_degrees=self.fov_degrees, near=self.near, far=self.far)
