"""Attention among the chunks of whole sequences equals a masked softmax over all rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ports.wan.nn.chunk_attention import ChunkMask, chunk_attention

CHUNKS, TOKENS = 5, 3
DRAWN = np.random.default_rng(0).random((2, CHUNKS, CHUNKS)) < 0.5
TWO_STREAMS = ChunkMask(((0,), (0, 1), (2,), (0, 3), (0, 1, 4)))


def dense(mask: ChunkMask) -> np.ndarray:
    may = np.zeros((2, CHUNKS, CHUNKS), bool)
    for chunk, reach in enumerate(mask.reach):
        may[:, chunk, list(reach)] = True
    seen = may if mask.seen is None else may & np.asarray(mask.seen)
    return seen.repeat(TOKENS, axis=1).repeat(TOKENS, axis=2)


def masked_softmax(query, key, value, visible):
    logits = jnp.einsum("btnh,bwnh->bntw", query, key) * query.shape[-1] ** -0.5
    weights = jax.nn.softmax(jnp.where(visible[:, None], logits, -jnp.inf), axis=-1)
    return jnp.einsum("bntw,bwnh->btnh", weights, value)


@pytest.mark.parametrize("mask", [TWO_STREAMS, ChunkMask.causal(jnp.asarray(DRAWN | np.eye(CHUNKS, dtype=bool)))])
def test_chunk_attention_and_its_gradients_equal_a_masked_softmax(mask):
    keys = jax.random.split(jax.random.key(0), 4)
    *rows, cotangent = (jax.random.normal(key, (2, CHUNKS * TOKENS, 2, 4)) for key in keys)
    got, pull = jax.vjp(lambda *rows: chunk_attention(*rows, mask), *rows)
    want, pull_dense = jax.vjp(lambda *rows: masked_softmax(*rows, dense(mask)), *rows)
    np.testing.assert_allclose(got, want, atol=2e-6)
    for one, other in zip(pull(cotangent), pull_dense(cotangent), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-6)
