"""The exact renderer of apartments: every ray walks from room to room until something stops it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ports.demo_world.worlds.apartments import DOOR, SIDE, Apartment, ball_centres
from ports.demo_world.worlds.pinhole import world_rays
from ports.demo_world.worlds.rooms import HALF_HEIGHT, floor_colour, sample_walls, wall_coordinates
from ports.demo_world.worlds.sizes import CELLS
from ports.wan.nn.layers import along_last

_SIZE = (8 * CELLS[0], 8 * CELLS[1])
_CROSSED = 3  # a straight line crosses at most three of four rooms


class View(NamedTuple):
    """What a camera sees."""

    frames: jax.Array  # [F, h, w, 3] in [0, 1]
    depth: jax.Array  # [F, h, w] along the viewing direction
    room: jax.Array  # [F, h, w] int32, the room that what is seen stands in
    moves: jax.Array  # [F, h, w] bool, where what is seen moves


class _Hit(NamedTuple):
    """Where rays end on something, ``inf`` far where they miss it, and its colour there."""

    distance: jax.Array
    colour: jax.Array


def render(home: Apartment, poses: jax.Array, time: jax.Array | None = None) -> jax.Array:
    """Render one apartment from poses ``[F, 4, 4]``, frame ``i`` at time ``i`` unless times ``[F]`` are given.

    Returns frames ``[F, 64, 96, 3]`` in [0, 1]. A pixel is the mean of four, so that edges are smooth and a codec can
    keep them.
    """
    height, width = _SIZE
    fine = look(home, poses, size=(2 * height, 2 * width), time=time).frames
    return fine.reshape(-1, height, 2, width, 2, 3).mean(axis=(2, 4))


def look(home: Apartment, poses: jax.Array, *, size: tuple[int, int] = _SIZE, time: jax.Array | None = None) -> View:
    """Render one apartment with all that is known of every pixel.

    Args:
        home: the apartment, without leading axes.
        poses: ``[F, 4, 4]`` camera-to-world, where `is_free` allows.
        size: height and width in pixels.
        time: ``[F]`` in frames; frame ``i`` at time ``i`` unless given.
    """
    time = jnp.arange(len(poses), dtype=jnp.float32) if time is None else time
    origin, direction = world_rays(poses, size)
    walls, room = _rooms(home, origin, direction)
    pillars = [_pillar(home, i, origin, direction) for i in range(home.pillars.shape[0])]
    centres = ball_centres(home, time)
    balls = [_ball(home, i, centres[:, i], origin, direction) for i in range(home.balls.shape[0])]
    seen = walls
    for thing in (*pillars, *balls):
        nearer = thing.distance < seen.distance
        seen = _Hit(
            jnp.where(nearer, thing.distance, seen.distance), jnp.where(nearer[..., None], thing.colour, seen.colour)
        )
    moves = jnp.stack([ball.distance <= seen.distance for ball in balls]).any(axis=0)
    shade = 1 - 0.12 * jnp.clip(seen.distance / 4, 0, 1)[..., None]  # a hint of distance
    place = origin + seen.distance[..., None] * direction
    thing_room = jnp.where(place[..., 0] > SIDE, 2, 0) + jnp.where(place[..., 2] > SIDE, 1, 0)
    room = jnp.where(seen.distance < walls.distance, thing_room, room)
    return View(seen.colour * shade, seen.distance, room, moves)


def rooms_seen(home: Apartment, poses: jax.Array) -> jax.Array:
    """Return which share of each frame shows each room, ``[F, 4]``: without one in common nothing is seen in both."""
    room = look(home, poses, size=(2 * CELLS[0], 2 * CELLS[1])).room
    return jax.nn.one_hot(room, home.walls.shape[0]).mean(axis=(1, 2))


def _rooms(home: Apartment, origin: jax.Array, direction: jax.Array) -> tuple[_Hit, jax.Array]:
    """Follow rays through doorways to the first wall, floor or ceiling; also return its room."""
    origin = jnp.broadcast_to(origin, direction.shape)
    away = jnp.where(direction < 0, -1.0, 1.0)
    safe = jnp.where(jnp.abs(direction) < 1e-6, 1e-6 * away, direction)
    half = along_last(jnp.array([SIDE / 2, HALF_HEIGHT, SIDE / 2]), away)
    i, j = (jnp.clip(jnp.floor(origin[..., axis] / SIDE), 0, 1).astype(jnp.int32) for axis in (0, 2))
    for _ in range(_CROSSED):
        room = 2 * i + j
        corner = jnp.stack([i, jnp.zeros_like(i), j], axis=-1).astype(jnp.float32) * SIDE
        centre = corner + along_last(jnp.array([SIDE / 2, 0.0, SIDE / 2]), corner)
        reach = (centre + away * half - origin) / safe
        distance = jnp.min(reach, axis=-1)
        hit = origin + distance[..., None] * direction
        on_x, on_z = reach[..., 0] == distance, reach[..., 2] == distance
        inner_x = on_x & ((i == 0) == (away[..., 0] > 0))
        inner_z = on_z & ~on_x & ((j == 0) == (away[..., 2] > 0))
        in_door_x = jnp.abs(hit[..., 2] - home.doors[j]) < DOOR / 2
        in_door_z = jnp.abs(hit[..., 0] - home.doors[2 + i]) < DOOR / 2
        i, j = jnp.where(inner_x & in_door_x, 1 - i, i), jnp.where(inner_z & in_door_z, 1 - j, j)
    local = hit - centre
    wall = sample_walls(home.walls, *wall_coordinates(local, away, on_x), room) / 255
    surfaces = home.surfaces[room]
    flat = jnp.where(direction[..., 1:2] > 0, floor_colour(surfaces, local), surfaces[..., 2, :])
    return _Hit(distance, jnp.where((on_x | on_z)[..., None], wall, flat)), room


def _pillar(home: Apartment, number: int, origin: jax.Array, direction: jax.Array) -> _Hit:
    """Meet an upright cylinder: its side between top and floor, or its flat top from above."""
    x, z, radius, top = home.pillars[number]
    from_axis = origin[..., jnp.array([0, 2])] - along_last(jnp.array([x, z]), origin)
    side = _enter(from_axis, direction[..., jnp.array([0, 2])], radius)
    height = origin[..., 1] + jnp.where(jnp.isfinite(side), side, 0.0) * direction[..., 1]
    side = jnp.where(height > top, side, jnp.inf)  # y is down; below the floor the floor is nearer
    lid = (top - origin[..., 1]) / jnp.where(direction[..., 1] > 1e-6, direction[..., 1], 1e-6)
    on_lid = jnp.sum((from_axis + lid[..., None] * direction[..., jnp.array([0, 2])]) ** 2, axis=-1) < radius**2
    lid = jnp.where(on_lid & (lid > 0), lid, jnp.inf)
    rings = jax.nn.sigmoid(8 * jnp.sin(12 * (height - top)))
    first, second = home.pillar_colours[number, :, None, None, None]
    colour = jnp.where((lid < side)[..., None], first, first + (second - first) * rings[..., None])
    return _Hit(jnp.minimum(side, lid), colour)


def _ball(home: Apartment, number: int, centre: jax.Array, origin: jax.Array, direction: jax.Array) -> _Hit:
    """Meet a ball of two colours, centred at ``centre [F, 3]``."""
    radius = home.balls[number, 5]
    from_centre = origin - centre[:, None, None]
    distance = _enter(from_centre, direction, radius)
    height = from_centre[..., 1] + jnp.where(jnp.isfinite(distance), distance, 0.0) * direction[..., 1]
    cap = jax.nn.sigmoid(12 * height / radius)[..., None]
    first, second = home.ball_colours[number, :, None, None, None]
    return _Hit(distance, first * (1 - cap) + second * cap)


def _enter(offset: jax.Array, direction: jax.Array, radius: jax.Array) -> jax.Array:
    """Return how far along a ray ``|offset + t direction|`` falls to ``radius``; ``inf`` where it never does."""
    a = jnp.maximum(jnp.sum(direction**2, axis=-1), 1e-9)
    b = jnp.sum(offset * direction, axis=-1)
    square = b**2 - a * (jnp.sum(offset**2, axis=-1) - radius**2)
    enters = (-b - jnp.sqrt(jnp.maximum(square, 0.0))) / a
    return jnp.where((square > 0) & (enters > 0), enters, jnp.inf)
