"""How much of the attention that a model pays to its whole past would find its chunk among a rule's picks."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from worldkv_jax.memory import Rule
from worldkv_jax.memory.retrieval import choose


@functools.partial(jax.jit, static_argnames=("rule", "k"))
def rule_picks(
    rule: Rule, cameras: jax.Array, keys: jax.Array, now: jax.Array, query: jax.Array, valid: jax.Array, *, k: int
) -> jax.Array:
    """Let a rule choose among the chunks of a whole past.

    Args:
        rule: the retrieval rule.
        cameras: ``[B, C, F, 4, 4]`` of the chunks.
        keys: ``[L, B, C, T, N, H]`` of the chunks, after RoPE.
        now: ``[B, F, 4, 4]`` cameras of the chunk that asks.
        query: its mean queries ``[L, B, N, H]``.
        valid: bool ``[C]``, chunks that may be chosen, at least ``k``.
        k: how many.

    Returns:
        Chunk ids int32 ``[B, k]``, nearest first.
    """
    ids = jnp.arange(cameras.shape[1], dtype=jnp.int32)

    def one_world(cameras, keys, now, query):
        index = jax.vmap(rule.describe, in_axes=(0, 1))(cameras, keys)
        return choose(rule, rule.describe_query(now, query), index, ids, valid, k)[0]

    return jax.vmap(one_world, in_axes=(0, 1, 0, 1))(cameras, keys, now, query)


def covered_mass(mass, picks, valid) -> tuple[np.ndarray, np.ndarray]:
    """Return which share of the attention to candidates the picks hold, and the best picks of that number.

    Args:
        mass: attention ``[B, C]`` on each chunk.
        picks: chunk ids ``[B, k]``.
        valid: bool ``[C]``, the candidates.

    Returns:
        Both ``[B]``, in [0, 1]. Their ratio says how near the rule comes to the best choice.
    """
    mass, picks = np.where(valid, mass, 0.0), np.asarray(picks)
    total = mass.sum(axis=-1)
    held = np.take_along_axis(mass, picks, axis=-1).sum(axis=-1)
    best = np.sort(mass, axis=-1)[:, -picks.shape[-1] :].sum(axis=-1)
    return held / total, best / total
