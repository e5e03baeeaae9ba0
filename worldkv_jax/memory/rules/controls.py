"""Retrieval rules to measure others against: chunks at random, and the most recent ones."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float32, Int32

from worldkv_jax.memory.retrieval import nearest
from worldkv_jax.memory.rules.camera import CameraDistance


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomChoice(CameraDistance):
    """Choose at random, for each next view anew; the same views and chunks give the same choice.

    Which chunks are redundant to each other is still judged by the cameras.
    """

    seed: int = 0

    def choose(
        self,
        query: Float32[Array, " D"],
        index: Float32[Array, "C D"],
        chunks: Int32[Array, " C"],
        valid: Bool[Array, " C"],
        k: int,
    ) -> tuple[Int32[Array, " k"], Float32[Array, " k"]]:
        """Order the candidates by a random number of their ids."""
        view = jax.lax.bitcast_convert_type(query.sum(), jnp.uint32)
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(self.seed), view), valid.sum(dtype=jnp.uint32))
        draw = jax.vmap(lambda chunk: jax.random.uniform(jax.random.fold_in(key, chunk)))
        return nearest(draw(chunks.astype(jnp.uint32)), chunks, valid, k)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MostRecent(CameraDistance):
    """Choose the latest candidates: a sliding window of pruned chunks.

    Which chunks are redundant to each other is still judged by the cameras.
    """

    def choose(
        self,
        query: Float32[Array, " D"],
        index: Float32[Array, "C D"],
        chunks: Int32[Array, " C"],
        valid: Bool[Array, " C"],
        k: int,
    ) -> tuple[Int32[Array, " k"], Float32[Array, " k"]]:
        """Order the candidates by their age in chunks, the youngest being 0."""
        age = jnp.max(jnp.where(valid, chunks, -1)) - chunks
        return nearest(age.astype(jnp.float32), chunks, valid, k)
