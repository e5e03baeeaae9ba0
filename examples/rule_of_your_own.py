"""A retrieval rule of your own: a frozen dataclass, used like ours and compared with it."""

import dataclasses

import jax
import jax.numpy as jnp

from worldkv_jax import memory as wm
from worldkv_jax import open_model


# %% Nearest in heading alone: a chunk is described by where its cameras look, on average.
@dataclasses.dataclass(frozen=True)
class Heading:
    """Angle between the mean view directions, whatever the places."""

    def describe(self, cameras: jax.Array, keys: jax.Array) -> jax.Array:
        """Describe a finished chunk, cameras ``[F, 4, 4]``, by its mean view direction ``[3]``."""
        forward = cameras[:, :3, 2].mean(axis=0)
        return forward / jnp.linalg.norm(forward)

    def describe_query(self, cameras: jax.Array, query: jax.Array | None) -> jax.Array:
        """Describe the next chunk in the same way."""
        return self.describe(cameras, None)

    def score(self, query: jax.Array, index: jax.Array, valid: jax.Array) -> jax.Array:
        """Score the chunks of an index ``[C, 3]`` against a query ``[3]``: the smaller the nearer."""
        return jnp.arccos(jnp.clip(index @ query, -1, 1))


# %% The demo world under our rule and under this one, the same walk and noise.
retrieval = dataclasses.replace(wm.DEFAULT.retrieval, rule=Heading())
for memory in (wm.DEFAULT, dataclasses.replace(wm.DEFAULT, retrieval=retrieval)):
    session = open_model("demo-world", trajectory="R90_L90").check(memory).load()
    for chunk in session.stream(session.start(), seed=0):
        print(type(memory.retrieval.rule).__name__, chunk.index, "recalls", chunk.retrieved[0].tolist())
