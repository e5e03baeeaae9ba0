"""Random walks through random rooms, and which past each training chunk may see."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ports.demo_world import codec, renderer
from ports.demo_world.model import CHUNK_FRAMES, ray_features
from ports.wan.nn.patches import patchify

TRAIN_SEED, VALIDATION_SEED = 1, 2  # of the rooms; the demo and the tests draw theirs from other seeds
_PERMUTATIONS = np.array([[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]])
_WALK = 0.45  # largest distance from the room's centre along each axis


class Batch(NamedTuple):
    """Sequences of chunks, some clean (memory) and some to be denoised."""

    latents: jax.Array  # [B, S, 80] clean tokens of all chunks
    rays: jax.Array  # [B, S, 24]
    frames: jax.Array  # [B, F] int32 time positions
    t: jax.Array  # [B, N] diffusion time of each chunk; 0 is a clean chunk
    visible: jax.Array  # [B, N, N] bool: may chunk i see chunk j


def sample_batch(key: jax.Array, rooms: renderer.Room, weights: codec.Codec, *, size: int, chunks: int) -> Batch:
    """Draw a batch.

    Each chunk is at random clean or noisy, and sees itself and the clean chunks before it: that is
    generation with memory, and since any chunk may be missing, also retrieval.

    Args:
        key: typed random key.
        rooms: the training rooms, with one leading axis.
        weights: the fixed codec.
        size: sequences ``B``.
        chunks: chunks ``N`` of a sequence.
    """
    keys = iter(jax.random.split(key, 8))
    frames = chunks * CHUNK_FRAMES
    index = jax.random.randint(next(keys), (size,), 0, rooms.walls.shape[0])
    colours = jnp.asarray(_PERMUTATIONS)[jax.random.randint(next(keys), (size,), 0, len(_PERMUTATIONS))]
    picked = jax.tree.map(lambda a: jax.vmap(lambda i, p: a[i][..., p])(index, colours), rooms)
    poses = jax.vmap(lambda k: random_walk(k, chunks))(jax.random.split(next(keys), size))
    latents = patchify(codec.encode(weights, jax.vmap(renderer.render)(picked, poses)))

    amount_clean = jax.random.uniform(next(keys), (size, 1), minval=0.35, maxval=0.9)
    clean = jax.random.bernoulli(next(keys), amount_clean, (size, chunks)).at[:, -1].set(False)
    u, pure = jnp.split(jax.random.uniform(next(keys), (size, 2 * chunks)), 2, axis=1)
    t = jnp.where(pure < 0.3, 1.0, 3 * u / (1 + 2 * u))  # 30 % pure noise, the rest shifted towards it
    order = jnp.arange(chunks)
    visible = (order[None] < order[:, None]) & clean[:, None] | (order[None] == order[:, None])

    # Time positions with random gaps: at test time the past of a chunk may lie anywhere.
    gaps = jnp.cumsum(jax.random.randint(next(keys), (size, chunks), 1, 6), axis=1)
    spread = jax.random.bernoulli(next(keys), 0.5, (size, 1))
    starts = jnp.where(spread, gaps - gaps[:, :1], order) * CHUNK_FRAMES
    positions = (starts[..., None] + jnp.arange(CHUNK_FRAMES)).reshape(size, frames)
    rays = jax.vmap(ray_features)(poses[:, 0], poses)
    return Batch(latents, rays, positions, jnp.where(clean, 0.0, t), visible)


def random_walk(key: jax.Array, chunks: int) -> jax.Array:
    """Draw poses ``[3 * chunks, 4, 4]``: pans that reverse, steady loops or jumps, while drifting about."""
    keys = iter(jax.random.split(key, 10))
    frames = chunks * CHUNK_FRAMES
    sign = jnp.where(jax.random.bernoulli(next(keys)), 1.0, -1.0)
    speed = jnp.deg2rad(jax.random.uniform(next(keys), (chunks,), minval=4.0, maxval=16.0))
    flips = jnp.cumprod(jnp.where(jax.random.bernoulli(next(keys), 0.25, (chunks,)), -1.0, 1.0))
    turn = jnp.repeat(speed * sign * flips, CHUNK_FRAMES)
    pan = jnp.cumsum(turn)
    time = jnp.arange(frames, dtype=jnp.float32)
    loop = sign * time * jnp.deg2rad(jax.random.uniform(next(keys), minval=8.0, maxval=18.0))
    jumps = jax.random.uniform(next(keys), (chunks,), maxval=2 * jnp.pi)
    jump = jnp.repeat(jumps, CHUNK_FRAMES) + turn * jnp.tile(time[:CHUNK_FRAMES], chunks)
    kind = jax.random.uniform(next(keys))
    yaw = jnp.where(kind < 0.35, pan, jnp.where(kind < 0.6, loop, jump))
    yaw = yaw + jax.random.uniform(next(keys), maxval=2 * jnp.pi)
    pace = jax.random.uniform(next(keys), (2,), minval=0.03, maxval=0.25)
    phase = jax.random.uniform(next(keys), (2,), maxval=2 * jnp.pi)
    # Half of the walks only turn: matching directions is learned first, and parallax on top of it.
    reach = _WALK * jnp.maximum(0.0, 2 * jax.random.uniform(next(keys)) - 1)
    ground = reach * jnp.sin(pace * time[:, None] + phase)
    return level_poses(yaw, ground)


def level_poses(yaw: jax.Array, ground: jax.Array) -> jax.Array:
    """Build camera-to-world poses ``[F, 4, 4]`` from yaw (radians, right is positive) and ``[F, 2]`` x, z."""
    cos, sin, zero, one = jnp.cos(yaw), jnp.sin(yaw), jnp.zeros_like(yaw), jnp.ones_like(yaw)
    x, z = ground[:, 0], ground[:, 1]
    rows = [[cos, zero, sin, x], [zero, one, zero, zero], [-sin, zero, cos, z], [zero, zero, zero, one]]
    return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)
