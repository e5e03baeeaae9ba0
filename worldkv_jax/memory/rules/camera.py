"""Camera distance: chunks whose cameras stood and looked as the next one does (WorldKV)."""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Float32

from worldkv_jax.cameras import mean_rotation, rotation_angle
from worldkv_jax.cameras._namespace import root
from worldkv_jax.names import check_name

# Differences below these are rounding noise of equal poses; scaling them to [0, 1] would choose by noise.
_NOISE = 1e-6  # of positions, relative to the farthest one, or scene units where all are below 1
_ANGLE_NOISE = 1e-5  # radians
_ARCCOS_NOISE = 1e-3  # radians: the arc cosine of a rounded 1 is up to 5e-4


class CameraRule:
    """Base of rules that describe both sides by their cameras alone."""

    def describe_cameras(self, cameras: Float[Array, "F 4 4"]) -> Float32[Array, " D"]:
        """Reduce the cameras ``[F, 4, 4]`` of one chunk to float32 ``[D]``."""
        raise NotImplementedError

    def describe(self, cameras: Float[Array, "F 4 4"], keys: Float[Array, "L T N H"]) -> Float32[Array, " D"]:
        """Reduce a finished chunk's cameras."""
        return self.describe_cameras(cameras)

    def describe_query(
        self, cameras: Float[Array, "F 4 4"], query: Float[Array, "L N H"] | None
    ) -> Float32[Array, " D"]:
        """Reduce the next chunk's cameras."""
        return self.describe_cameras(cameras)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CameraDistance(CameraRule):
    """Weighted sum of translation and rotation distance, each divided by its largest candidate's."""

    rotation_mean: Literal["proper", "elementwise"] = "proper"
    """``elementwise`` averages matrices without making the mean a rotation (paper and released code)."""
    squared_translation: bool = False
    """The released code squares the translation distance."""
    rotation_weight: float = 0.5
    """Share of the rotation distance; the rest is the translation's."""
    tolerance: float = 0.0
    """Chunks are ordered by distance in steps of this size, of equal ones the oldest first: it drifted least."""

    def __post_init__(self):
        check_name("mean of a chunk's rotations", self.rotation_mean, ("proper", "elementwise"))
        if not 0 <= self.tolerance < 1:
            raise ValueError(
                f"tolerance={self.tolerance} is outside [0, 1); distances are in [0, 1], 0 keeps them exact"
            )
        if not 0 <= self.rotation_weight <= 1:
            raise ValueError(
                f"rotation_weight={self.rotation_weight} is outside [0, 1]; 0 ignores rotation, 1 ignores translation"
            )

    def describe_cameras(self, cameras: Float[Array, "F 4 4"]) -> Float32[Array, " D"]:
        """Average the chunk's positions and rotations: ``[3 + 9]``."""
        cameras = cameras.astype(jnp.float32)
        rotations = cameras[:, :3, :3]
        rotation = rotations.mean(axis=0) if self.rotation_mean == "elementwise" else mean_rotation(rotations)
        return jnp.concatenate([cameras[:, :3, 3].mean(axis=0), rotation.reshape(9)])

    def score(
        self, query: Float32[Array, " D"], index: Float32[Array, "C D"], valid: Bool[Array, " C"]
    ) -> Float32[Array, " C"]:
        """Score by camera distance, in [0, 1] among the valid chunks."""
        translation, rotation = self._distances(query, index)
        distance = self._weigh(translation, rotation, index, valid)
        return jnp.round(distance / self.tolerance) * self.tolerance if self.tolerance else distance

    def between(self, index: Float32[Array, "C D"]) -> Float32[Array, "C C"]:
        """Score all pairs, divided by the largest distances of all pairs."""
        translation, rotation = jax.lax.map(lambda one: self._distances(one, index), index)
        return self._weigh(translation, rotation, index, jnp.ones(index.shape[0], bool))

    def _distances(self, query: jax.Array, index: jax.Array) -> tuple[jax.Array, jax.Array]:
        offset = index[:, :3] - query[None, :3]
        translation = jnp.sum(jnp.square(offset), axis=-1)
        if not self.squared_translation:
            translation = root(translation)
        if self.rotation_mean == "elementwise":
            # trace(A^T B) as a sum of products: exact where a GPU would round a matrix product to TF32.
            cosine = (jnp.sum(index[:, 3:] * query[None, 3:], axis=-1) - 1) / 2
            # The gradient of the arc cosine is infinite at both ends: zero there.
            inside = jnp.abs(cosine) < 1
            end = jnp.arccos(jax.lax.stop_gradient(jnp.clip(cosine, -1, 1)))
            rotation = jnp.where(inside, jnp.arccos(jnp.where(inside, cosine, 0.0)), end)
        else:
            rotation = rotation_angle(index[:, 3:].reshape(-1, 3, 3), query[3:].reshape(1, 3, 3))
        return translation, rotation

    def _weigh(self, translation: jax.Array, rotation: jax.Array, index: jax.Array, valid: jax.Array) -> jax.Array:
        noise = position_noise(index[:, :3], valid, _NOISE)
        noise = jnp.square(noise) if self.squared_translation else noise
        angle_noise = _ARCCOS_NOISE if self.rotation_mean == "elementwise" else _ANGLE_NOISE
        weight = self.rotation_weight
        return (1 - weight) * _relative(translation, valid, noise) + weight * _relative(rotation, valid, angle_noise)


def position_noise(places: Float[Array, "C *F 3"], valid: Bool[Array, " C"], share: float) -> Float32[Array, ""]:
    """Return what positions are off by: a share of the farthest one, or of 1 where all are nearer."""
    known = valid.reshape(-1, *(1,) * (places.ndim - 1))
    return share * jnp.maximum(jnp.max(jnp.where(known, jnp.abs(places), 0.0)), 1.0)


def _relative(distance: jax.Array, valid: jax.Array, noise: jax.Array | float) -> jax.Array:
    """Divide distances ``[..., C]`` by the largest valid one, or make all zero if that is noise."""
    largest = jnp.max(jnp.where(valid, distance, 0.0))
    return jnp.where(largest > noise, distance / jnp.maximum(largest, noise), 0.0)
