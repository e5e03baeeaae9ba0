"""Random walks through random rooms, and which past each training chunk may see."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ports.demo_world import codec, renderer
from ports.demo_world.model import CHUNK_FRAMES, ray_features
from ports.wan.nn.patches import patchify

TRAIN_SEED, VALIDATION_SEED = 1, 2  # of the rooms; the demo and the tests draw theirs from other seeds
_PERMUTATIONS = np.array([[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]])
_WALK = 0.45  # largest distance from the room's centre along each axis


Past = Literal["gaps", "clips"]
"""What a model sees of the past while it is trained."""


class Batch(NamedTuple):
    """Sequences of chunks, some clean (memory) and some to be denoised."""

    latents: jax.Array  # [B, S, 80] clean tokens of all chunks
    rays: jax.Array  # [B, S, 24]
    frames: jax.Array  # [B, F] int32 time positions
    t: jax.Array  # [B, N] diffusion time of each chunk; 0 is a clean chunk
    visible: jax.Array  # [B, N, N] bool: may chunk i see chunk j


def sample_batch(
    key: jax.Array, rooms: renderer.Room, weights: codec.Codec, *, size: int, chunks: int, past: Past = "gaps"
) -> Batch:
    """Draw a batch of walks, each with chunks to denoise and what they may see of the past.

    Args:
        key: typed random key.
        rooms: the training rooms, with one leading axis.
        weights: the fixed codec.
        size: sequences ``B``.
        chunks: chunks of a walk.
        past: ``"gaps"`` hides random parts of the past and spreads the rest in time, so retrieval is trained for;
            ``"clips"`` shows all of a short unbroken walk, as released models were trained.
    """
    draw, walk_key, past_key = jax.random.split(key, 3)
    index = jax.random.randint(draw, (size,), 0, rooms.walls.shape[0])
    colours = jax.random.choice(jax.random.fold_in(draw, 1), jnp.asarray(_PERMUTATIONS), (size,))
    picked = jax.tree.map(lambda a: jax.vmap(lambda i, p: a[i][..., p])(index, colours), rooms)
    walk = random_walk if past == "gaps" else unbroken_walk
    poses = jax.vmap(lambda k: walk(k, chunks))(jax.random.split(walk_key, size))
    latents = patchify(codec.encode(weights, jax.vmap(renderer.render)(picked, poses)))
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
    before, same = _order(chunks)
    visible = before & clean[:, None] | same
    gaps = jnp.cumsum(jax.random.randint(gap_key, (size, chunks), 1, 6), axis=1)
    spread = jax.random.bernoulli(spread_key, 0.5, (size, 1))
    starts = jnp.where(spread, gaps - gaps[:, :1], jnp.arange(chunks)) * CHUNK_FRAMES
    frames = (starts[..., None] + jnp.arange(CHUNK_FRAMES)).reshape(size, -1)
    return Batch(latents, rays, frames, jnp.where(clean, 0.0, _times(time_key, size, chunks)), visible)


def side_by_side(key: jax.Array, latents: jax.Array, rays: jax.Array, chunks: int) -> Batch:
    """Lay every walk down twice, clean and noisy: teacher forcing, every chunk denoised given the whole true past.

    Noisy chunk ``i`` sees itself and the clean chunks before it, clean chunk ``i`` the clean chunks up to itself. The
    last clean chunk is nobody's past and is left out.
    """
    size = len(latents)
    before, same = _order(chunks)
    past = chunks - 1
    clean_rows = jnp.concatenate([(before | same)[:past, :past], jnp.zeros((past, chunks), bool)], axis=1)
    noisy_rows = jnp.concatenate([before[:, :past], same], axis=1)
    visible = jnp.concatenate([clean_rows, noisy_rows])
    frames = jnp.broadcast_to(jnp.arange(chunks * CHUNK_FRAMES), (size, chunks * CHUNK_FRAMES))

    def twice(rows):
        return jnp.concatenate([rows[:, : rows.shape[1] * past // chunks], rows], axis=1)

    t = jnp.concatenate([jnp.zeros((size, past)), _times(key, size, chunks)], axis=1)
    return Batch(twice(latents), twice(rays), twice(frames), t, jnp.broadcast_to(visible, (size, *visible.shape)))


def _order(chunks: int) -> tuple[jax.Array, jax.Array]:
    """Return ``[N, N]``: is chunk j before chunk i, and is it the same."""
    order = jnp.arange(chunks)
    return order[None] < order[:, None], order[None] == order[:, None]


def _times(key: jax.Array, size: int, chunks: int) -> jax.Array:
    """Draw diffusion times: 30 % pure noise, the rest shifted towards it."""
    u, pure = jax.random.uniform(key, (2, size, chunks))
    return jnp.where(pure < 0.3, 1.0, 3 * u / (1 + 2 * u))


def random_walk(key: jax.Array, chunks: int) -> jax.Array:
    """Draw poses ``[3 * chunks, 4, 4]``: pans that reverse, steady loops or jumps, while drifting about."""
    keys = iter(jax.random.split(key, 10))
    turn = _pan_steps(next(keys), next(keys), next(keys), chunks, reverse=0.25)
    time = jnp.arange(chunks * CHUNK_FRAMES, dtype=jnp.float32)
    loop = jnp.sign(turn[0]) * time * jnp.deg2rad(jax.random.uniform(next(keys), minval=8.0, maxval=18.0))
    jumps = jax.random.uniform(next(keys), (chunks,), maxval=2 * jnp.pi)
    jump = jnp.repeat(jumps, CHUNK_FRAMES) + turn * jnp.tile(time[:CHUNK_FRAMES], chunks)
    kind = jax.random.uniform(next(keys))
    yaw = jnp.where(kind < 0.35, jnp.cumsum(turn), jnp.where(kind < 0.6, loop, jump))
    yaw = yaw + jax.random.uniform(next(keys), maxval=2 * jnp.pi)
    return level_poses(yaw, _drift(next(keys), next(keys), next(keys), time))


def unbroken_walk(key: jax.Array, chunks: int) -> jax.Array:
    """Draw poses ``[3 * chunks, 4, 4]``: pans that reverse or steady loops, while drifting about; never a jump."""
    keys = iter(jax.random.split(key, 10))
    turn = _pan_steps(next(keys), next(keys), next(keys), chunks, reverse=0.3)
    time = jnp.arange(chunks * CHUNK_FRAMES, dtype=jnp.float32)
    loop = jnp.sign(turn[0]) * time * jnp.deg2rad(jax.random.uniform(next(keys), minval=10.0, maxval=24.0))
    yaw = jnp.where(jax.random.uniform(next(keys)) < 0.65, jnp.cumsum(turn), loop)
    yaw = yaw + jax.random.uniform(next(keys), maxval=2 * jnp.pi)
    return level_poses(yaw, _drift(next(keys), next(keys), next(keys), time))


def _pan_steps(sign_key, speed_key, flip_key, chunks: int, *, reverse: float) -> jax.Array:
    """Draw each frame's turn ``[3 * chunks]`` in radians: one speed a chunk, now and then the other way."""
    sign = jnp.where(jax.random.bernoulli(sign_key), 1.0, -1.0)
    speed = jnp.deg2rad(jax.random.uniform(speed_key, (chunks,), minval=4.0, maxval=16.0))
    flips = jnp.cumprod(jnp.where(jax.random.bernoulli(flip_key, reverse, (chunks,)), -1.0, 1.0))
    return jnp.repeat(speed * sign * flips, CHUNK_FRAMES)


def _drift(pace_key, phase_key, reach_key, time: jax.Array) -> jax.Array:
    """Draw a slow path ``[F, 2]`` over the floor.

    Half of the walks only turn: matching directions is learned first, and parallax on top of it.
    """
    pace = jax.random.uniform(pace_key, (2,), minval=0.03, maxval=0.25)
    phase = jax.random.uniform(phase_key, (2,), maxval=2 * jnp.pi)
    reach = _WALK * jnp.maximum(0.0, 2 * jax.random.uniform(reach_key) - 1)
    return reach * jnp.sin(pace * time[:, None] + phase)


def level_poses(yaw: jax.Array, ground: jax.Array) -> jax.Array:
    """Build camera-to-world poses ``[F, 4, 4]`` from yaw (radians, right is positive) and ``[F, 2]`` x, z."""
    cos, sin, zero, one = jnp.cos(yaw), jnp.sin(yaw), jnp.zeros_like(yaw), jnp.ones_like(yaw)
    x, z = ground[:, 0], ground[:, 1]
    rows = [[cos, zero, sin, x], [zero, one, zero, zero], [-sin, zero, cos, z], [zero, zero, zero, one]]
    return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)
