"""Cameras in apartments: random walks to train on, and laps through two rooms that come back to what was seen."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from ports.demo_world.worlds.apartments import INNER_WALLS, SIDE, Apartment, slide
from ports.demo_world.worlds.pinhole import level_poses
from ports.demo_world.worlds.room_walks import draw_yaw, round_and_round
from ports.demo_world.worlds.sizes import CHUNK_FRAMES

_LONGEST_STEP = 0.14  # shorter than what a camera keeps away from walls


def apartment_walk(key: jax.Array, home: Apartment, chunks: int, *, jumps: bool) -> jax.Array:
    """Draw poses ``[3 * chunks, 4, 4]``: to and fro between a place in one room and one in the next, looking about.

    Half of the walks stay where they are: matching directions is learned first, and doorways on top of it.
    """
    yaw_key, wall_key, swap_key, place_key, stay_key, pace_key, sway_key = jax.random.split(key, 7)
    yaw = draw_yaw(jax.random.split(yaw_key, 10), chunks, jumps=jumps)
    time = jnp.arange(chunks * CHUNK_FRAMES, dtype=jnp.float32)
    wall = jnp.argmax(jnp.where(home.doors > 0, jax.random.uniform(wall_key, (4,)), -1.0))
    rooms = jnp.asarray(INNER_WALLS)[wall]
    rooms = jnp.where(jax.random.bernoulli(swap_key), rooms[::-1], rooms)
    corners = SIDE * jnp.stack([rooms // 2, rooms % 2], axis=-1).astype(jnp.float32)
    ends = corners + jax.random.uniform(place_key, (2, 2), minval=0.6, maxval=1.4)
    door = jnp.where(wall < 2, jnp.stack([SIDE, home.doors[wall]]), jnp.stack([home.doors[wall], SIDE]))[None]
    lengths = jnp.linalg.norm(ends - door, axis=-1)
    pace = jax.random.uniform(pace_key, minval=0.05, maxval=_LONGEST_STEP)
    pace = jnp.where(jax.random.bernoulli(stay_key), 0.0, pace)
    gone = jnp.abs((time * pace + lengths.sum()) % (2 * lengths.sum()) - lengths.sum())
    far = jnp.clip((gone - lengths[0]) / lengths[1], 0, 1)[:, None]
    near = jnp.clip(gone / lengths[0], 0, 1)[:, None]
    wanted = ends[:1] + (door - ends[:1]) * near + (ends[1:] - door) * far
    phase = jax.random.uniform(sway_key, (2,), maxval=2 * jnp.pi)[None]
    sway = 0.5 * pace * (jnp.sin(time[:, None] * jnp.array([[0.7, 0.9]]) + phase) - jnp.sin(phase))
    return level_poses(yaw, follow(home, wanted + sway))


def follow(home: Apartment, wanted: jax.Array) -> jax.Array:
    """Follow a path ``[F, 2]`` as far as walls and things allow; it must begin where it is free."""

    def step(place, target):
        whole = target - place
        place = slide(home, place, whole * jnp.minimum(1.0, _LONGEST_STEP / jnp.maximum(jnp.linalg.norm(whole), 1e-6)))
        return place, place

    return jax.lax.scan(step, wanted[0], wanted)[1]


def apartment_laps(
    rng: np.random.Generator, homes: Apartment, laps: int, lap: int, arc: float, *, tour_laps: int = 2
) -> Iterator[np.ndarray]:
    """Yield each apartment's poses ``[laps * lap * 3, 4, 4]``: round a room, to the next one and round it, and back.

    The first lap looks round the first room, the second goes through a doorway (half of it) and looks round the next
    room; the third goes that way back, the fourth looks round the first room again, and so on. Later laps are a
    fraction of a frame off the first ones. No step is longer than in walks to train on: short laps stay near the
    doorway.

    Args:
        rng: which rooms, places and directions.
        homes: the apartments, with a leading axis.
        laps: of the camera.
        lap: chunks of one lap.
        arc: degrees that a lap turns.
        tour_laps: 2, or 1 for a camera that stays in the first room and turns as in `room_laps`.
    """
    frames = lap * CHUNK_FRAMES
    step = np.deg2rad(arc) / frames
    turn, longest = step * np.arange(frames), _LONGEST_STEP * (frames - 1) / 4
    for doors in np.asarray(homes.doors):
        wall = rng.choice(np.flatnonzero(doors > 0))
        ends = INNER_WALLS[wall][:: rng.choice([-1, 1])]
        door = np.array([SIDE, doors[wall]] if wall < 2 else [doors[wall], SIDE])
        here, there = (np.array([r // 2, r % 2]) * SIDE + rng.uniform(0.7, 1.3, 2) for r in ends)
        direction, start = rng.choice([-1, 1]), rng.uniform(0, 2 * np.pi)
        if tour_laps == 1:
            ground = np.repeat(here[None], laps * frames, axis=0)
            progress = round_and_round(turn, laps, step, whole=arc == 360)
        else:
            out = door + _through(frames, _within(here - door, longest), _within(there - door, longest))
            stay = np.repeat(out[:1], frames, axis=0)
            ground = np.concatenate([(stay, out, out[::-1])[number % 3] for number in range(laps)])
            progress = np.concatenate([_of_lap(turn, number, step) for number in range(laps)])
        yaw = start + direction * progress
        yield np.asarray(level_poses(jnp.asarray(yaw, jnp.float32), jnp.asarray(ground, jnp.float32)))


def _within(way: np.ndarray, longest: float) -> np.ndarray:
    """Shorten a way ``[2]`` to at most ``longest``."""
    return way * min(1.0, longest / np.linalg.norm(way))


def _through(frames: int, here: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Walk from here to the doorway, which is the origin, and on to there: a quarter of the frames each, then stay."""
    share = np.linspace(0, 1, frames)[:, None]
    return np.clip(1 - 4 * share, 0, 1) * here + np.clip(4 * share - 1, 0, 1) * there


def _of_lap(turn: np.ndarray, number: int, step: float) -> np.ndarray:
    """Return how far a lap has turned: backwards on the way back, a fraction of a frame off after the tour."""
    offset = 0.0 if number < 2 else (number * 0.618) % 1
    return (turn[::-1] if number % 3 == 2 else turn) + step * offset
