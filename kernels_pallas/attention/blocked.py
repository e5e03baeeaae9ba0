"""Attention for a CPU: head by head over blocks of keys, with a running softmax (FlashAttention, arXiv 2205.14135).

XLA's own writes all logits to memory several times, transposes keys and values, and computes what is masked. Here a
block's logits stay in cache, its rows are read where they lie, and blocks past the length are never met: a third to
a half of the time, a fiftieth of the memory. A product of one head and one block is large enough to keep all cores.

A row's highest logit, which the softmax is taken relative to, is looked for only where the lengths of queries and keys
allow large ones: hardly ever, once both are normalized. Elsewhere zero is near enough.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32

from kernels_pallas.attention import reference

BLOCK = 1024
"""Rows of a block, about, at most: more are met than are valid, by half a block."""
LOGITS = 2**21
"""Those of a block, about, at most: more would leave the cache."""
MASKED = -1e30  # not infinite: the difference of two infinities is no number
NEAR = 80.0
"""Powers of two whose exponents are no further from a level keep their precision, and so do sums of them."""

# ``2**x`` on [-1/2, 1/2], highest power first: of polynomials that are right at 0 the one of the least relative error.
_POWER = (0.0013264727, 0.009671513, 0.055507336, 0.24022242, 0.693147, 1.0)
_MANTISSA_BITS = 23

# A level near the highest logit so far and the sum of weights ``[T, 1]``, and the weighted sum of values ``[T, H]``.
Running = tuple[jax.Array, jax.Array, jax.Array]


def block_rows(tokens: int, rows: int) -> int:
    """Choose a size of blocks, near what `BLOCK` and `LOGITS` allow, whose last one is as full as can be."""
    target = max(BLOCK // 16, min(BLOCK, LOGITS // tokens))
    if rows <= target * 5 // 4:
        return rows
    return min(range(target * 3 // 4, target * 5 // 4), key=lambda size: (-rows % size, abs(size - target)))


def exp2(x: jax.Array) -> jax.Array:
    """Return ``2**x``, float32, to 2e-7 of itself, and zero where that is no normal number; ``x`` is at most 127.

    XLA's exponential takes twice the time, which is 3 % of all.
    """
    whole = jax.lax.round(x, jax.lax.RoundingMethod.TO_NEAREST_EVEN)
    rest = x - whole
    power = jnp.full_like(x, _POWER[0])
    for coefficient in _POWER[1:]:
        power = power * rest + coefficient
    exponent = jax.lax.shift_left(whole.astype(jnp.int32), jnp.int32(_MANTISSA_BITS))
    bits = jax.lax.bitcast_convert_type(power, jnp.int32) + exponent
    return jnp.where(x < -126, 0, jax.lax.bitcast_convert_type(bits, jnp.float32))


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
    block = block_rows(tokens, rows)

    def cut(array: jax.Array, world: jax.Array, start: int | jax.Array, count: int, head: jax.Array) -> jax.Array:
        taken = jax.lax.dynamic_slice(array, (world, start, head, 0), (1, count, 1, width))
        return taken[0, :, 0].astype(jnp.float32)

    def attend_head(index: jax.Array) -> jax.Array:
        world, head = index // heads, index % heads
        q = cut(query, world, 0, tokens, head) * (width**-0.5 / math.log(2))  # for powers of two
        longest, valid = _squares(q).max(), length[world]

        def add_block(is_last: bool, number: jax.Array, carry: Running) -> Running:
            level, total, mixed = carry
            first = number * block
            start = jnp.minimum(first, rows - block) if is_last else first
            k, v = (cut(array, world, start, block, head // group) for array in (key, value))
            logits, squares = q @ k.T, _squares(k)
            if is_last:  # it may begin earlier, and masks what it repeats
                row = start + jnp.arange(block, dtype=jnp.int32)
                seen = (row >= first) & (row < valid)
                logits, squares = jnp.where(seen[None], logits, MASKED), jnp.where(seen, squares, 0)
            is_near_zero = longest * squares.max() <= NEAR**2  # every logit, by Cauchy and Schwarz
            highest = jax.lax.cond(
                is_near_zero, lambda: jnp.zeros_like(level), lambda: logits.max(axis=1, keepdims=True)
            )
            new = jnp.maximum(level, highest)
            shrink, weights = exp2(level - new), exp2(logits - new)
            return new, total * shrink + weights.sum(axis=1, keepdims=True), mixed * shrink + weights @ v

        column = jnp.zeros((tokens, 1), jnp.float32)
        running = column + MASKED, column, jnp.zeros_like(q)
        whole = valid // block  # a mask costs a twentieth of the time, and only the rest needs one
        running = jax.lax.fori_loop(0, whole, functools.partial(add_block, False), running)
        running = jax.lax.fori_loop(whole, -(-valid // block), functools.partial(add_block, True), running)
        _, total, mixed = running
        return (mixed / jnp.where(total > 0, total, 1)).astype(query.dtype)

    mixed = jax.lax.map(attend_head, jnp.arange(worlds * heads, dtype=jnp.int32))
    return jnp.moveaxis(mixed.reshape(worlds, heads, tokens, width), 1, 2)


@attention.defjvp
def _differentiate(primals: Sequence[jax.Array], tangents: Sequence[Any]) -> tuple[jax.Array, jax.Array]:
    """Differentiate the reference: a loop whose length is only known when it runs has no gradient."""
    *arrays, length = primals

    def attend(query: jax.Array, key: jax.Array, value: jax.Array) -> jax.Array:
        return reference.attention(query, key, value, length)

    return jax.jvp(attend, arrays, list(tangents[:3]))


def _squares(rows: jax.Array) -> jax.Array:
    """Return the squared lengths ``[n]`` of rows ``[n, H]``."""
    return jnp.square(rows).sum(axis=1)
