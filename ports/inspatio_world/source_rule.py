"""Retrieval that knows the source: moving scenes, and views that the source shows anyway."""

import dataclasses

import jax
import jax.numpy as jnp

from worldkv_jax.memory import CameraDistance, Rule
from worldkv_jax.memory.retrieval import ChoosingRule, distances_between, nearest, needs_query


@dataclasses.dataclass(frozen=True, kw_only=True)
class SourceAware:
    """A retrieval rule of cameras, to which differences of the source are added, by chunk.

    Two visits of a place may show different moments of a moving scene, and a chunk that the source showed wholly
    has invented nothing to remember. The bank has to keep all chunks, or drop the oldest: then the latest
    candidate tells which chunk comes next.
    """

    views: Rule = dataclasses.field(default_factory=CameraDistance)
    """How near chunks are by their cameras; a rule of scores."""
    times: tuple[float, ...]
    """Moment of the source that each chunk shows, any unit."""
    known: tuple[float, ...]
    """Share of each chunk's frames that the source shows."""
    time_weight: float = 0.0
    """Weight of the distance between moments, which is 1 between the source's first and last."""
    known_weight: float = 0.0
    """Weight of what the source showed of a stored chunk."""
    ahead: int = 2
    """How many chunks after its latest candidate the next one comes."""

    def __post_init__(self):
        for name in ("times", "known"):
            object.__setattr__(self, name, tuple(float(value) for value in getattr(self, name)))
        if not self.times or len(self.times) != len(self.known):
            raise ValueError(f"got times of {len(self.times)} chunks and known shares of {len(self.known)}")
        if min(self.time_weight, self.known_weight) < 0:
            raise ValueError(
                f"time_weight={self.time_weight} and known_weight={self.known_weight} must not be negative"
            )
        if isinstance(self.views, ChoosingRule):
            raise ValueError(
                f"{type(self.views).__name__} chooses chunks by more than a score, to which no weight can be added; "
                "use the rule 'camera' or 'overlap', or leave the weights at 0"
            )

    @property
    def needs_query(self) -> bool:
        """Whether the rule of cameras asks for queries."""
        return needs_query(self.views)

    def describe(self, cameras: jax.Array, keys: jax.Array) -> jax.Array:
        """Describe a finished chunk by its cameras."""
        return self.views.describe(cameras, keys)

    def describe_query(self, cameras: jax.Array, query: jax.Array | None) -> jax.Array:
        """Describe the next chunk by its cameras."""
        return self.views.describe_query(cameras, query)

    def score(self, query: jax.Array, index: jax.Array, valid: jax.Array) -> jax.Array:
        """Score by cameras alone; `choose` adds the rest."""
        return self.views.score(query, index, valid)

    def between(self, index: jax.Array) -> jax.Array:
        """Score all pairs by cameras alone."""
        return distances_between(self.views, index)

    def choose(self, query, index, chunks, valid, k):
        """Choose the chunks nearest by cameras, time and novelty together."""
        times, known = (jnp.asarray(values, jnp.float32) for values in (self.times, self.known))
        following = jnp.max(jnp.where(valid, chunks, -1)) + self.ahead
        duration = jnp.maximum(times.max() - times.min(), 1e-9)
        stored = jnp.maximum(chunks, 0)
        apart = jnp.abs(jnp.take(times, stored, mode="clip") - jnp.take(times, following, mode="clip")) / duration
        scores = self.views.score(query, index, valid) + self.time_weight * apart
        scores = scores + self.known_weight * jnp.take(known, stored, mode="clip")
        return nearest(scores, chunks, valid, k)
