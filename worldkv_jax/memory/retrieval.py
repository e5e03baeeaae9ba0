"""World Retrieval: how near each stored chunk is to the view that comes next.

A rule reduces a chunk to a short description once, when it is stored, and scores all descriptions against the
one of the next chunk. Rules are frozen dataclasses: pass one of your own wherever a rule's name is accepted.
"""

import dataclasses
from typing import Literal, Protocol

import jax
import jax.numpy as jnp

from worldkv_jax.cameras import mean_rotation, rotation_angle, view_overlap
from worldkv_jax.names import check_name

# Differences below this are rounding noise of equal poses; scaling them to [0, 1] would choose by noise.
_NOISE = 1e-6


class Rule(Protocol):
    """A hashable retrieval rule; all methods are pure and see one world."""

    def describe(self, cameras: jax.Array, keys: jax.Array) -> jax.Array:
        """Reduce a finished chunk (cameras ``[F, 4, 4]``, keys ``[L, T, N, H]``) to float32 ``[D]``."""
        ...

    def describe_query(self, cameras: jax.Array, query: jax.Array | None) -> jax.Array:
        """Reduce the next chunk (cameras, perhaps mean queries ``[L, N, H]``) to float32 ``[D]``."""
        ...

    def score(self, query: jax.Array, index: jax.Array, valid: jax.Array) -> jax.Array:
        """Score descriptions ``[C, D]`` against the query's ``[D]``: float32 ``[C]``, lower is nearer."""
        ...


class _CameraRule:
    """Describe both sides by their cameras alone."""

    def describe(self, cameras, keys):
        """Reduce a finished chunk's cameras."""
        return self._cameras(cameras)

    def describe_query(self, cameras, query):
        """Reduce the next chunk's cameras."""
        return self._cameras(cameras)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CameraDistance(_CameraRule):
    """Weighted sum of translation and rotation distance, each divided by its largest candidate's."""

    rotation_mean: Literal["proper", "elementwise"] = "proper"
    """``elementwise`` averages matrices without making the mean a rotation (paper and released code)."""
    squared_translation: bool = False
    """The released code squares the translation distance."""
    rotation_weight: float = 0.5

    def _cameras(self, cameras):
        cameras = cameras.astype(jnp.float32)
        rotations = cameras[:, :3, :3]
        rotation = rotations.mean(axis=0) if self.rotation_mean == "elementwise" else mean_rotation(rotations)
        return jnp.concatenate([cameras[:, :3, 3].mean(axis=0), rotation.reshape(9)])

    def score(self, query, index, valid):
        """Score by camera distance, in [0, 1] among the valid chunks."""
        translation = jnp.sum(jnp.square(index[:, :3] - query[:3]), axis=-1)
        if not self.squared_translation:
            translation = jnp.sqrt(translation)
        if self.rotation_mean == "elementwise":
            # trace(A^T B) as a sum of products: exact where a GPU would round a matrix product to TF32.
            cosine = (jnp.sum(index[:, 3:] * query[3:], axis=-1) - 1) / 2
            rotation = jnp.arccos(jnp.clip(cosine, -1, 1))
        else:
            rotation = rotation_angle(index[:, 3:].reshape(-1, 3, 3), query[3:].reshape(3, 3))
        weight = self.rotation_weight
        return (1 - weight) * _relative(translation, valid) + weight * _relative(rotation, valid)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ViewOverlap(_CameraRule):
    """Share of the next view that a stored chunk has not seen, from the two view frusta."""

    fov_degrees: tuple[float, float] = (90.0, 60.0)
    """Horizontal and vertical field of view of every camera."""
    near: float = 0.1
    far: float = 10.0

    def _cameras(self, cameras):
        return cameras.astype(jnp.float32).reshape(-1)

    def score(self, query, index, valid):
        """Score by one minus the view overlap, in [0, 1]."""
        query, index = query.reshape(-1, 4, 4), index.reshape(index.shape[0], -1, 4, 4)
        return 1 - view_overlap(query, index, fov_degrees=self.fov_degrees, near=self.near, far=self.far)


@dataclasses.dataclass(frozen=True, kw_only=True)
class AttentionScore:
    """Mean attention logit between the next chunk's mean query and a stored chunk's mean key.

    Ours: the paper's appendix has an attention-based rule whose formula is not public. The mean logit is a
    lower bound of the logarithm of the attention mass that the chunk would draw, up to a constant. The mean
    queries come from a first pass over the chunk: see ``Backbone.queries``.
    """

    def describe(self, cameras, keys):
        """Average the keys of a finished chunk over its tokens."""
        return keys.astype(jnp.float32).mean(axis=1).reshape(-1)

    def describe_query(self, cameras, query):
        """Take the mean queries of the next chunk."""
        if query is None:
            raise ValueError(
                "the attention rule needs the next chunk's mean queries [L, B, N, H]: pass query=... to recall, "
                "or use a backbone that has a `queries` method"
            )
        return query.astype(jnp.float32).reshape(-1)

    def score(self, query, index, valid):
        """Score by the negative mean logit."""
        return -jnp.sum(index * query, axis=-1)


def _relative(distance: jax.Array, valid: jax.Array) -> jax.Array:
    largest = jnp.max(jnp.where(valid, distance, 0.0))
    return jnp.where(largest > _NOISE, distance / jnp.maximum(largest, _NOISE), 0.0)


RULES: dict[str, Rule] = {
    "camera": CameraDistance(),
    "paper": CameraDistance(rotation_mean="elementwise"),
    "released": CameraDistance(rotation_mean="elementwise", squared_translation=True),
    "overlap": ViewOverlap(),
    "attention": AttentionScore(),
}


def rule_named(name: str) -> Rule:
    """Return a built-in retrieval rule by its name."""
    return RULES[check_name("retrieval rule", name, RULES)]


def nearest(scores: jax.Array, chunks: jax.Array, valid: jax.Array, k: int) -> tuple[jax.Array, jax.Array]:
    """Choose the ``k`` slots of lowest score; equal scores go to the lowest chunk id.

    Args:
        scores: float32 ``[C]``.
        chunks: int32 ``[C]`` chunk id of each slot.
        valid: bool ``[C]``, candidates.
        k: how many.

    Returns:
        Slots int32 ``[k]``, candidates first and nearest first, and their scores (infinite for the rest).
    """
    scores = jnp.where(valid, scores, jnp.inf)
    slots = jnp.arange(scores.shape[0], dtype=jnp.int32)
    # The chunk id as second key makes the order total, so slot order and backend do not matter.
    scores, _, slots = jax.lax.sort((scores, jnp.where(valid, chunks, jnp.iinfo(jnp.int32).max), slots), num_keys=2)
    return slots[:k], scores[:k]
