"""Attention for a CPU: head by head over blocks of keys, with a running softmax (FlashAttention, arXiv 2205.14135).

XLA's own writes all logits to memory several times, transposes keys and values, and computes what is masked. Here a
block's logits stay in cache, its rows are read where they lie, and blocks past the length are never met: a third to
a half of the time, a fiftieth of the memory. A product of one head and one block is large enough to keep all cores.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32

from kernels_pallas.attention import reference

BLOCK = 512
"""Rows of a block, about; the logits of larger ones leave the cache."""
MASKED = -1e30  # not infinite: the difference of two infinities is no number

# The highest logit so far and the sum of weights ``[1, T]``, and the weighted sum of values ``[H, T]``.
Running = tuple[jax.Array, jax.Array, jax.Array]


def block_rows(rows: int) -> int:
    """Choose a size of blocks, near `BLOCK`, whose last one is as full as can be."""
    if rows <= BLOCK * 5 // 4:
        return rows
    return min(range(BLOCK * 3 // 4, BLOCK * 5 // 4), key=lambda size: (-rows % size, abs(size - BLOCK)))


@jax.custom_jvp
def attention(
    query: Float[Array, "B T N H"],
    key: Float[Array, "B W G H"],
    value: Float[Array, "B W G H"],
    length: Int32[Array, " B"],
) -> Float[Array, "B T N H"]:
    """Attend ``query [B, T, N, H]`` to the first ``length [B]`` rows of ``key`` and ``value [B, W, G, H]``.

    Products, softmax and sums are float32 whatever the inputs are. No row at all gives zeros.
    """
    worlds, tokens, heads, width = query.shape
    rows, group = key.shape[1], heads // key.shape[2]
    block = block_rows(rows)

    def cut(array: jax.Array, world: jax.Array, start: int | jax.Array, count: int, head: jax.Array) -> jax.Array:
        taken = jax.lax.dynamic_slice(array, (world, start, head, 0), (1, count, 1, width))
        return taken[0, :, 0].astype(jnp.float32)

    def attend_head(index: jax.Array) -> jax.Array:
        world, head = index // heads, index % heads
        q = cut(query, world, 0, tokens, head) * width**-0.5
        valid = length[world]

        # Queries last: both products are then of the forms that XLA's CPU multiplies fastest.
        def add_block(is_last: bool, number: jax.Array, carry: Running) -> Running:
            highest, total, mixed = carry
            first = number * block
            start = jnp.minimum(first, rows - block) if is_last else first
            k, v = (cut(array, world, start, block, head // group) for array in (key, value))
            logits = k @ q.T
            if is_last:  # it may begin earlier, and masks what it repeats
                row = start + jnp.arange(block, dtype=jnp.int32)
                logits = jnp.where(((row >= first) & (row < valid))[:, None], logits, MASKED)
            new = jnp.maximum(highest, logits.max(axis=0, keepdims=True))
            shrink, weights = jnp.exp(highest - new), jnp.exp(logits - new)
            return new, total * shrink + weights.sum(axis=0, keepdims=True), mixed * shrink + v.T @ weights

        row = jnp.zeros((1, tokens), jnp.float32)
        running = row + MASKED, row, jnp.zeros_like(q.T)
        whole = valid // block  # a mask costs a twentieth of the time, and only the rest needs one
        running = jax.lax.fori_loop(0, whole, functools.partial(add_block, False), running)
        running = jax.lax.fori_loop(whole, -(-valid // block), functools.partial(add_block, True), running)
        _, total, mixed = running
        return (mixed / jnp.maximum(total, 1)).T.astype(query.dtype)  # the highest logit adds 1

    mixed = jax.lax.map(attend_head, jnp.arange(worlds * heads, dtype=jnp.int32))
    return jnp.moveaxis(mixed.reshape(worlds, heads, tokens, width), 1, 2)


@attention.defjvp
def _differentiate(primals: Sequence[jax.Array], tangents: Sequence[Any]) -> tuple[jax.Array, jax.Array]:
    """Differentiate the reference: a loop whose length is only known when it runs has no gradient."""
    *arrays, length = primals

    def attend(query: jax.Array, key: jax.Array, value: jax.Array) -> jax.Array:
        return reference.attention(query, key, value, length)

    return jax.jvp(attend, arrays, list(tangents[:3]))
