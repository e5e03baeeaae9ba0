"""Attention for a TPU: JAX's own splash attention, which never writes logits to memory.

XLA's needs 14 GB of temporaries for one layer of LingBot-World's chunk. Rows past the length are of another segment
than the queries, and what is added to fill the last blocks of both is as well.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

LANES, BLOCK = 128, 512


def takes(query: jax.Array, key: jax.Array) -> bool:
    """Tell whether these shapes fit: heads as wide as a TPU's lanes or a multiple, one of keys for each of queries."""
    return query.shape[-1] % LANES == 0 and query.shape[2] == key.shape[2]


def attention(
    query: jax.Array, key: jax.Array, value: jax.Array, length: jax.Array, *, interpret: bool = False
) -> jax.Array:
    """Attend ``query [B, T, N, H]`` to the first ``length [B]`` rows of ``key`` and ``value [B, W, N, H]``.

    Of the shapes that it `takes`. Logits, softmax and sums are float32.
    """
    from jax.experimental.pallas.ops.tpu.splash_attention import SegmentIds  # costs a second, on a TPU alone

    worlds, tokens, heads, width = query.shape
    q, k, v = (_by_head(x) for x in (query * width**-0.5, key, value))
    q_rows, kv_rows = q.shape[2], k.shape[2]
    asks = jnp.zeros((worlds, q_rows), jnp.int32)
    # A padded query attends to what is valid, too: a row that sees nothing would divide by zero.
    seen = (jnp.arange(kv_rows, dtype=jnp.int32)[None] >= length[:, None]).astype(jnp.int32)
    attend = _kernel(heads, q_rows, kv_rows, interpret)
    mixed = jax.vmap(attend)(q, k, v, SegmentIds(asks, seen))
    return jnp.moveaxis(mixed, 1, 2)[:, :tokens].astype(query.dtype)


def _by_head(x: jax.Array) -> jax.Array:
    """Bring ``[B, n, N, H]`` to ``[B, N, m, H]`` with whole blocks of rows."""
    rows = x.shape[1]
    block = _block(rows)
    padded = jnp.pad(x, ((0, 0), (0, -rows % block), (0, 0), (0, 0)))
    return jnp.moveaxis(padded, 2, 1)


def _block(rows: int) -> int:
    return min(BLOCK, -(-rows // LANES) * LANES)


def _kernel(heads: int, q_rows: int, kv_rows: int, interpret: bool) -> Callable[..., Any]:
    from jax.experimental.pallas.ops.tpu import splash_attention as splash

    blocks = splash.BlockSizes(block_q=_block(q_rows), block_kv=_block(kv_rows), block_kv_compute=_block(kv_rows))
    mask = splash.MultiHeadMask([splash.FullMask((q_rows, kv_rows))] * heads)
    # Made anew in each trace, as part of it: what is evaluated while a mesh is set lies on the mesh's devices, and a
    # program can be compiled for devices that are not there.
    return splash.make_splash_mha(mask, block_sizes=blocks, head_shards=1, q_seq_shards=1, interpret=interpret)
