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


@pytest.mark.parametrize("mask", [TWO_STREAMS, ChunkMask.causal(jax.device_put(DRAWN | np.eye(CHUNKS, dtype=bool)))])
def test_chunk_attention_and_its_gradients_equal_a_masked_softmax(mask):
    *rows, cotangent = np.random.default_rng(0).standard_normal((4, 2, CHUNKS * TOKENS, 2, 4), np.float32)

    def with_gradients(attend):
        @jax.jit
        def run(rows, cotangent):
            out, pull = jax.vjp(attend, *rows)
            return out, *pull(cotangent)

        return run(rows, cotangent)

    made = with_gradients(lambda *rows: chunk_attention(*rows, mask))
    wanted = with_gradients(lambda *rows: masked_softmax(*rows, dense(mask)))
    for got, want in zip(made, wanted, strict=True):
        np.testing.assert_allclose(got, want, atol=2e-6)
