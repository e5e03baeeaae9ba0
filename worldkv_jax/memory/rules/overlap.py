"""View overlap: chunks that have seen what the next view shows."""

import dataclasses
from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Float32

from worldkv_jax.cameras import view_overlap
from worldkv_jax.memory.rules.camera import CameraRule, position_noise
from worldkv_jax.names import check_name

_STILL = 1e-5  # of the farthest position, or scene units where all are below 1: less is noise of a camera that stands


@dataclasses.dataclass(frozen=True, kw_only=True)
class ViewOverlap(CameraRule):
    """Share of the next view that a stored chunk has not seen, from the two view frusta."""

    fov_degrees: tuple[float, float] = (90.0, 60.0)
    """Horizontal and vertical field of view of every camera."""
    near: float = 0.1
    """Depth at which views begin, in `unit`."""
    far: float = 10.0
    """Depth at which views end."""
    unit: Literal["scene", "travel"] = "scene"
    """What depths are measured in: scene units, or where the size of the scene is not known how far the camera moves
    during a chunk, on average. A chunk of one frame does not tell that: scene units then."""

    def __post_init__(self):
        check_name("unit of depths", self.unit, ("scene", "travel"))
        object.__setattr__(self, "fov_degrees", tuple(map(float, self.fov_degrees)))  # a list is not hashable
        if len(self.fov_degrees) != 2 or not all(0 < fov < 180 for fov in self.fov_degrees):
            raise ValueError(
                f"fov_degrees={self.fov_degrees}: give (horizontal, vertical), both between 0 and 180 degrees"
            )
        if not 0 < self.near < self.far:
            raise ValueError(f"near={self.near}, far={self.far}: expected 0 < near < far, in units of {self.unit}")

    def describe_cameras(self, cameras: Float[Array, "F 4 4"]) -> Float32[Array, " D"]:
        """Keep the chunk's poses."""
        return cameras.astype(jnp.float32).reshape(-1)

    def score(
        self, query: Float32[Array, " D"], index: Float32[Array, "C D"], valid: Bool[Array, " C"]
    ) -> Float32[Array, " C"]:
        """Score by one minus the view overlap, in [0, 1]."""
        query, index = self.poses(query, index, valid)
        return 1 - view_overlap(query, index, fov_degrees=self.fov_degrees, near=self.near, far=self.far)

    def poses(
        self, query: Float32[Array, " D"], index: Float32[Array, "C D"], valid: Bool[Array, " C"]
    ) -> tuple[Float32[Array, "F 4 4"], Float32[Array, "C F 4 4"]]:
        """Return the poses of descriptions, in units of depth."""
        query, index = query.reshape(-1, 4, 4), index.reshape(index.shape[0], -1, 4, 4)
        if self.unit == "scene":
            return query, index
        shrink = jnp.ones((4, 4), jnp.float32).at[:3, 3].set(1 / _travel(index[..., :3, 3], valid))
        return query * shrink[None], index * shrink[None, None]


def _travel(places: Float32[Array, "C F 3"], valid: Bool[Array, " C"]) -> Float32[Array, ""]:
    """Measure how far the camera moves during a chunk: the mean of all chunks, in which each weighs what it moves."""
    frames = places.shape[1]
    moved = jnp.linalg.norm(places[:, -1] - places[:, 0], axis=-1) * frames / max(frames - 1, 1)
    moved = jnp.where(valid, moved, 0.0)
    mean = jnp.sum(jnp.square(moved)) / jnp.maximum(jnp.sum(moved), jnp.finfo(jnp.float32).tiny)
    return jnp.where(mean > position_noise(places, valid, _STILL), mean, 1.0)
