"""Cameras in rooms: random walks to train on, and laps that come back to what was seen."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from ports.demo_world.worlds.pinhole import level_poses
from ports.demo_world.worlds.sizes import CHUNK_FRAMES

_WALK = 0.45  # largest distance from the room's centre along each axis


def room_walk(key: jax.Array, chunks: int, *, jumps: bool) -> jax.Array:
    """Draw poses ``[3 * chunks, 4, 4]`` that look about while drifting, see `draw_yaw`."""
    keys = jax.random.split(key, 10)
    time = jnp.arange(chunks * CHUNK_FRAMES, dtype=jnp.float32)
    pace = jax.random.uniform(keys[6], (2,), minval=0.03, maxval=0.25)
    phase = jax.random.uniform(keys[7], (2,), maxval=2 * jnp.pi)
    # Half of the walks only turn: matching directions is learned first, and parallax on top of it.
    reach = _WALK * jnp.maximum(0.0, 2 * jax.random.uniform(keys[8]) - 1)
    return level_poses(draw_yaw(keys, chunks, jumps=jumps), reach * jnp.sin(pace[None] * time[:, None] + phase[None]))


def draw_yaw(keys: jax.Array, chunks: int, *, jumps: bool) -> jax.Array:
    """Draw yaws ``[3 * chunks]`` in radians: pans that reverse or steady loops; with ``jumps`` also jumps.

    Args:
        keys: ten keys, of which the seventh to ninth stay unused.
        chunks: of the walk.
        jumps: let two in five walks look elsewhere from chunk to chunk.
    """
    sign = jnp.where(jax.random.bernoulli(keys[0]), 1.0, -1.0)
    speed = jnp.deg2rad(jax.random.uniform(keys[1], (chunks,), minval=4.0, maxval=16.0))
    flips = jnp.cumprod(jnp.where(jax.random.bernoulli(keys[2], 0.3, (chunks,)), -1.0, 1.0))
    turn = jnp.repeat(speed * sign * flips, CHUNK_FRAMES)
    time = jnp.arange(chunks * CHUNK_FRAMES, dtype=jnp.float32)
    loop = jnp.sign(turn[0]) * time * jnp.deg2rad(jax.random.uniform(keys[3], minval=10.0, maxval=24.0))
    kind = jax.random.uniform(keys[4])
    yaw = jnp.where(kind < (0.35 if jumps else 0.65), jnp.cumsum(turn), loop)
    if jumps:
        looks = jnp.repeat(jax.random.uniform(keys[9], (chunks,), maxval=2 * jnp.pi), CHUNK_FRAMES)
        yaw = jnp.where(kind < 0.6, yaw, looks + turn * jnp.tile(time[:CHUNK_FRAMES], chunks))
    return yaw + jax.random.uniform(keys[5], maxval=2 * jnp.pi)


def room_laps(rng: np.random.Generator, worlds: int, laps: int, lap: int, arc: float) -> Iterator[np.ndarray]:
    """Yield each world's poses ``[laps * lap * 3, 4, 4]`` of a camera that looks at the same places again and again.

    It turns once around the room, once more, and then to and fro; of less than a full turn, to and fro at once. It
    starts anywhere, turns left or right, and in every second world it walks a circle while it turns. The later laps
    are a fraction of a frame off the first, so that no view of the tour is seen again exactly.

    Args:
        rng: which directions and circles.
        worlds: how many.
        laps: of the camera.
        lap: chunks of one lap.
        arc: degrees that a lap turns.
    """
    frames = lap * CHUNK_FRAMES
    step = np.deg2rad(arc) / frames
    turn = step * np.arange(frames)
    progress = round_and_round(turn, laps, step, whole=arc == 360)
    for world in range(worlds):
        direction, start = rng.choice([-1, 1]), rng.uniform(0, 2 * np.pi)
        yaw = start + direction * progress
        reach = rng.uniform(0.1, 0.3) if world % 2 else 0.0
        centre = rng.uniform(-0.15, 0.15, 2) if world % 2 else np.zeros(2)
        ground = centre + reach * np.stack([np.cos(progress), np.sin(progress)], axis=-1)
        yield np.asarray(level_poses(jnp.asarray(yaw, jnp.float32), jnp.asarray(ground, jnp.float32)))


def round_and_round(turn: np.ndarray, laps: int, step: float, *, whole: bool) -> np.ndarray:
    """Chain laps of the angles ``turn``: whole turns once more and then to and fro, of less to and fro at once.

    A later lap is a fraction of a ``step`` off: a third for the revisits of the demo, others vary.
    """

    def progress(number: int) -> np.ndarray:
        if number == 0:
            return turn
        backwards = number % 2 == (0 if whole else 1)
        offset = 1 / 3 if number < 3 else (number * 0.618) % 1
        return (turn[::-1] if backwards else turn) + step * offset

    return np.concatenate([progress(number) for number in range(laps)])
