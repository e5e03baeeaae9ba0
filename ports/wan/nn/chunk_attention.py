"""Attention among the chunks of whole sequences, as they are trained: only what a chunk may see is computed."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp


@functools.partial(jax.tree_util.register_dataclass, data_fields=("seen",), meta_fields=("reach",))
@dataclasses.dataclass(frozen=True)
class ChunkMask:
    """Which chunks a chunk sees, itself included."""

    reach: tuple[tuple[int, ...], ...]
    """Of each chunk the numbers of those that it may see, ascending; known when compiling."""
    seen: jax.Array | None = None
    """bool ``[B, N, N]``: whether it does; ``None`` if it sees all that it may."""

    @classmethod
    def causal(cls, seen: jax.Array) -> "ChunkMask":
        """Let every chunk see what ``seen [B, N, N]`` shows of itself and those before it."""
        return cls(tuple(tuple(range(i + 1)) for i in range(seen.shape[-1])), seen)


def chunk_attention(query: jax.Array, key: jax.Array, value: jax.Array, mask: ChunkMask) -> jax.Array:
    """Attend the queries of every chunk to the rows of those that it sees.

    Args:
        query, key, value: ``[B, N * T, heads, H]``, chunks of ``T`` tokens.
        mask: of the ``N`` chunks.

    Returns:
        ``[B, N * T, heads, H]`` in the dtype of ``query``.
    """
    tokens = query.shape[1] // len(mask.reach)
    # Heads before rows: each product then reads what lies together.
    query, key, value = (x.swapaxes(1, 2) for x in (query * query.shape[-1] ** -0.5, key, value))
    mixed = []
    for chunk, reach in enumerate(mask.reach):
        runs = _runs(reach)
        seen = None if mask.seen is None else [mask.seen[:, chunk, a:b] for a, b in runs]
        keys, values = ([x[:, :, a * tokens : b * tokens] for a, b in runs] for x in (key, value))
        mixed.append(_attend(query[:, :, chunk * tokens : (chunk + 1) * tokens], keys, values, seen))
    return jnp.concatenate(mixed, axis=2).swapaxes(1, 2)


@jax.checkpoint  # computing the logits again costs less than storing them, on a CPU too
def _attend(query, keys, values, seen):
    """Attend ``[B, N, T, H]`` to several runs of rows; dividing by the sum at the end touches fewer numbers."""
    logits = [jnp.einsum("bnth,bnwh->bntw", query, k, preferred_element_type=jnp.float32) for k in keys]
    if seen is not None:
        visible = (jnp.repeat(s, x.shape[-1] // s.shape[-1], axis=-1) for s, x in zip(seen, logits, strict=True))
        logits = [jnp.where(v[:, None, None], x, -1e9) for v, x in zip(visible, logits, strict=True)]
    largest = functools.reduce(jnp.maximum, (x.max(axis=-1, keepdims=True) for x in logits))
    weights = [jnp.exp(x - jax.lax.stop_gradient(largest)) for x in logits]
    total = functools.reduce(jnp.add, (w.sum(axis=-1, keepdims=True) for w in weights))
    rows = (
        jnp.einsum("bntw,bnwh->bnth", w.astype(v.dtype), v, preferred_element_type=jnp.float32)
        for w, v in zip(weights, values, strict=True)
    )
    mixed = functools.reduce(jnp.add, rows)
    return (mixed / total).astype(query.dtype)


def _runs(numbers: tuple[int, ...]) -> list[tuple[int, int]]:
    """Join ascending numbers to runs ``[start, stop)``."""
    groups = itertools.groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])
    runs = [[number for _, number in group] for _, group in groups]
    return [(run[0], run[-1] + 1) for run in runs]
