"""Random walks through random worlds, and which past each training chunk may see."""

import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ports.demo_world.codec import Codec
from ports.demo_world.model import ray_features
from ports.demo_world.model_choice import Past
from ports.demo_world.worlds.families import Family
from ports.demo_world.worlds.sizes import CHUNK_FRAMES
from ports.wan.nn.chunk_attention import ChunkMask
from ports.wan.nn.patches import patchify

TRAIN_SEED, VALIDATION_SEED = 1, 2  # of the worlds; the demo and the tests draw theirs from other seeds


class Batch(NamedTuple):
    """Sequences of chunks, some clean (memory) and some to be denoised."""

    latents: jax.Array  # [B, S, c] clean tokens of all chunks
    rays: jax.Array  # [B, S, 24]
    frames: jax.Array  # [B, F] int32 time positions
    t: jax.Array  # [B, N] diffusion time of each chunk; 0 is a clean chunk
    visible: ChunkMask


def sample_batch(
    key: jax.Array, worlds: Any, codec: Codec, *, family: Family, size: int, chunks: int, past: Past = "clips"
) -> Batch:
    """Draw a batch of walks, each with chunks to denoise and what they may see of the past.

    Args:
        key: typed random key.
        worlds: those to train on, with one leading axis.
        codec: the fixed codec.
        family: of the worlds.
        size: sequences ``B``.
        chunks: chunks of a walk.
        past: ``"gaps"`` hides random parts of the past and spreads the rest in time, so retrieval is trained for;
            ``"clips"`` shows all of a short unbroken walk, as released models were trained.
    """
    draw, walk_key, past_key = jax.random.split(key, 3)
    index = jax.random.randint(draw, (size,), 0, len(jax.tree.leaves(worlds)[0]))
    orders = jnp.array(list(itertools.permutations(range(3))))
    colours = jax.random.choice(jax.random.fold_in(draw, 1), orders, (size,))
    picked = jax.vmap(family.repaint)(jax.tree.map(lambda a: a[index], worlds), colours)
    walk_keys = jax.random.split(walk_key, size)
    poses = jax.vmap(lambda k, world: family.walk(k, world, chunks, jumps=past == "gaps"))(walk_keys, picked)
    frames = jax.lax.map(lambda walk: family.render(*walk), (picked, poses))  # one walk's rays stay in cache
    latents = patchify(codec.encode(frames))
    rays = jax.vmap(ray_features)(poses[:, 0], poses)
    return (with_gaps if past == "gaps" else side_by_side)(past_key, latents, rays, chunks)


def with_gaps(key: jax.Array, latents: jax.Array, rays: jax.Array, chunks: int) -> Batch:
    """Make each chunk at random clean or noisy; it sees itself and the clean chunks before it.

    That is generation with memory, and since any chunk may be missing and the past may lie anywhere in time, also
    retrieval.
    """
    clean_key, many_key, time_key, gap_key, spread_key = jax.random.split(key, 5)
    size = len(latents)
    amount_clean = jax.random.uniform(many_key, (size, 1), minval=0.35, maxval=0.9)
    clean = jax.random.bernoulli(clean_key, amount_clean, (size, chunks)).at[:, -1].set(False)
    visible = clean[:, None] | jnp.eye(chunks, dtype=bool)[None]
    gaps = jnp.cumsum(jax.random.randint(gap_key, (size, chunks), 1, 6), axis=1)
    spread = jax.random.bernoulli(spread_key, 0.5, (size, 1))
    starts = jnp.where(spread, gaps - gaps[:, :1], jnp.arange(chunks)[None]) * CHUNK_FRAMES
    frames = (starts[..., None] + jnp.arange(CHUNK_FRAMES)[None, None]).reshape(size, -1)
    return Batch(
        latents, rays, frames, jnp.where(clean, 0.0, _times(time_key, size, chunks)), ChunkMask.causal(visible)
    )


def side_by_side(key: jax.Array, latents: jax.Array, rays: jax.Array, chunks: int) -> Batch:
    """Lay every walk down twice, clean and noisy: teacher forcing, every chunk denoised given the whole true past.

    Noisy chunk ``i`` sees itself and the clean chunks before it, clean chunk ``i`` the clean chunks up to itself. The
    last clean chunk is nobody's past and is left out.
    """
    size = len(latents)
    past = chunks - 1
    clean = tuple(tuple(range(i + 1)) for i in range(past))
    noisy = tuple((*range(i), past + i) for i in range(chunks))
    frames = jnp.broadcast_to(jnp.arange(chunks * CHUNK_FRAMES), (size, chunks * CHUNK_FRAMES))

    def twice(rows):
        return jnp.concatenate([rows[:, : rows.shape[1] * past // chunks], rows], axis=1)

    t = jnp.concatenate([jnp.zeros((size, past)), _times(key, size, chunks)], axis=1)
    return Batch(twice(latents), twice(rays), twice(frames), t, ChunkMask(clean + noisy))


def _times(key: jax.Array, size: int, chunks: int) -> jax.Array:
    """Draw diffusion times: 30 % pure noise, the rest shifted towards it."""
    u, pure = jax.random.uniform(key, (2, size, chunks))
    return jnp.where(pure < 0.3, 1.0, 3 * u / (1 + 2 * u))
