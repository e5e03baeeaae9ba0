"""World Retrieval: how near each stored chunk is to the view that comes next.

A rule reduces a chunk to a short description once, when it is stored, and scores all descriptions against the
one of the next chunk. Rules are frozen dataclasses: pass one of your own wherever a rule's name is accepted.
"""

import dataclasses
from typing import ClassVar, Literal, Protocol

import jax
import jax.numpy as jnp

from worldkv_jax.cameras import mean_rotation, rotation_angle, view_overlap
from worldkv_jax.names import check_name

# Differences below these are rounding noise of equal poses; scaling them to [0, 1] would choose by noise.
_NOISE = 1e-6  # of positions, relative to the farthest one, or scene units where all are below 1
_ANGLE_NOISE = 1e-5  # radians
_ARCCOS_NOISE = 1e-3  # radians: the arc cosine of a rounded 1 is up to 5e-4


class Rule(Protocol):
    """A hashable retrieval rule; all methods are pure and see one world.

    Three more attributes are optional. ``needs_query = True`` has the mean queries of a first pass over the chunk
    given to `describe_query`. ``between(index [C, D]) -> [C, C]`` scores all stored chunks against each other
    for a bank that drops the most redundant one: needed if `score` is relative to its candidates, so that two
    calls of it cannot be compared. ``choose(query [D], index [C, D], chunks [C], valid [C], k) -> (slots [k], scores
    [k])`` replaces the choice of the lowest scores, for picks that depend on each other or on the chunks' ids; what
    it returns is ordered as that of `nearest`.
    """

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

    def _cameras(self, cameras):
        cameras = cameras.astype(jnp.float32)
        rotations = cameras[:, :3, :3]
        rotation = rotations.mean(axis=0) if self.rotation_mean == "elementwise" else mean_rotation(rotations)
        return jnp.concatenate([cameras[:, :3, 3].mean(axis=0), rotation.reshape(9)])

    def score(self, query, index, valid):
        """Score by camera distance, in [0, 1] among the valid chunks."""
        distance = self._weigh(*self._distances(query, index), index, valid)
        return jnp.round(distance / self.tolerance) * self.tolerance if self.tolerance else distance

    def between(self, index):
        """Score all pairs, divided by the largest distances of all pairs."""
        distances = jax.lax.map(lambda one: self._distances(one, index), index)
        return self._weigh(*distances, index, jnp.ones(index.shape[0], bool))

    def _distances(self, query, index):
        translation = jnp.sum(jnp.square(index[:, :3] - query[:3]), axis=-1)
        if not self.squared_translation:
            translation = jnp.sqrt(translation)
        if self.rotation_mean == "elementwise":
            # trace(A^T B) as a sum of products: exact where a GPU would round a matrix product to TF32.
            cosine = (jnp.sum(index[:, 3:] * query[3:], axis=-1) - 1) / 2
            rotation = jnp.arccos(jnp.clip(cosine, -1, 1))
        else:
            rotation = rotation_angle(index[:, 3:].reshape(-1, 3, 3), query[3:].reshape(3, 3))
        return translation, rotation

    def _weigh(self, translation, rotation, index, valid):
        farthest = jnp.max(jnp.where(valid[:, None], jnp.abs(index[:, :3]), 0.0))
        noise = _NOISE * jnp.maximum(farthest, 1.0)
        noise = jnp.square(noise) if self.squared_translation else noise
        angle_noise = _ARCCOS_NOISE if self.rotation_mean == "elementwise" else _ANGLE_NOISE
        weight = self.rotation_weight
        return (1 - weight) * _relative(translation, valid, noise) + weight * _relative(rotation, valid, angle_noise)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ViewOverlap(_CameraRule):
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
    queries come from a first pass over the chunk: see ``AttentionProbe.attention_queries``.
    """

    needs_query: ClassVar[bool] = True

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


def _relative(distance: jax.Array, valid: jax.Array, noise: jax.Array | float) -> jax.Array:
    """Divide distances ``[..., C]`` by the largest valid one, or make all zero if that is noise."""
    largest = jnp.max(jnp.where(valid, distance, 0.0))
    return jnp.where(largest > noise, distance / jnp.maximum(largest, noise), 0.0)


def needs_query(rule: Rule) -> bool:
    """Tell whether a rule looks at the next chunk's queries and not only at its cameras."""
    return getattr(rule, "needs_query", False)


def choose(
    rule: Rule, query: jax.Array, index: jax.Array, chunks: jax.Array, valid: jax.Array, k: int
) -> tuple[jax.Array, jax.Array]:
    """Choose up to ``k`` slots by a rule: those of lowest score, or as its own ``choose`` says.

    Args:
        rule: the rule.
        query: description ``[D]`` of the next chunk.
        index: descriptions ``[C, D]``.
        chunks: int32 ``[C]`` chunk id of each slot.
        valid: bool ``[C]``, candidates.
        k: how many.

    Returns:
        As `nearest`.
    """
    if hasattr(rule, "choose"):
        return rule.choose(query, index, chunks, valid, k)
    return nearest(rule.score(query, index, valid), chunks, valid, k)


def distances_between(rule: Rule, index: jax.Array) -> jax.Array:
    """Score all descriptions ``[C, D]`` against each other: float32 ``[C, C]``, comparable between rows."""
    if hasattr(rule, "between"):
        return rule.between(index)
    everything = jnp.ones(index.shape[0], bool)
    return jax.lax.map(lambda one: rule.score(one, index, everything), index)


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
