"""The exact renderer of apartments: every ray walks from room to room until something stops it."""

from collections.abc import Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ports.demo_world.worlds.apartments import DOOR, SIDE, Apartment, ball_centres
from ports.demo_world.worlds.pinhole import world_rays
from ports.demo_world.worlds.rooms import HALF_HEIGHT, floor_colour, sample_walls, wall_coordinates
from ports.demo_world.worlds.sizes import CELLS

CELL = 8  # pixels along one side of a latent cell
_SIZE = (CELL * CELLS[0], CELL * CELLS[1])
_CROSSED = 3  # a straight line crosses at most three of four rooms


class View(NamedTuple):
    """What a camera sees."""

    frames: jax.Array  # [F, h, w, 3] in [0, 1]
    depth: jax.Array  # [F, h, w] along the viewing direction
    room: jax.Array  # [F, h, w] int32, the room that what is seen stands in
    moves: jax.Array  # [F, h, w] bool, where what is seen moves


class _Hit(NamedTuple):
    """Where rays end on something, ``inf`` far where they miss it, and its colour there."""

    distance: jax.Array  # [F, h, w]
    colour: jax.Array  # [3, F, h, w]


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
    # Three planes, not pixels of three numbers: then the inner loops run over neighbouring rays.
    origin, direction = (jnp.moveaxis(rays, -1, 0) for rays in world_rays(poses, size))
    walls, room = _rooms(home, origin, direction)
    pillars = [_pillar(home, i, origin, direction) for i in range(home.pillars.shape[0])]
    centres = ball_centres(home, time)
    balls = [_ball(home, i, centres[:, i], origin, direction) for i in range(home.balls.shape[0])]
    seen = walls
    for thing in (*pillars, *balls):
        nearer = thing.distance < seen.distance
        seen = _Hit(
            jnp.where(nearer, thing.distance, seen.distance), jnp.where(nearer[None], thing.colour, seen.colour)
        )
    moves = jnp.stack([ball.distance <= seen.distance for ball in balls]).any(axis=0)
    shade = 1 - 0.12 * jnp.clip(seen.distance / 4, 0, 1)  # a hint of distance
    east, _, north = origin + seen.distance[None] * direction
    thing_room = jnp.where(east > SIDE, 2, 0) + jnp.where(north > SIDE, 1, 0)
    room = jnp.where(seen.distance < walls.distance, thing_room, room)
    return View(jnp.moveaxis(seen.colour * shade[None], 0, -1), seen.distance, room, moves)


def rooms_seen(home: Apartment, poses: jax.Array) -> jax.Array:
    """Return which share of each frame shows each room, ``[F, 4]``: without one in common nothing is seen in both."""
    room = look(home, poses, size=(2 * CELLS[0], 2 * CELLS[1])).room
    return jax.nn.one_hot(room, home.walls.shape[0]).mean(axis=(1, 2))


def moving_pixels(home: Apartment, poses: jax.Array) -> jax.Array:
    """Tell which pixels show a ball, bool ``[F, 64, 96]``, frame ``i`` at time ``i``."""
    return look(home, poses).moves


class _Crossing(NamedTuple):
    """Where rays leave a room."""

    room: jax.Array  # [F, h, w]
    distance: jax.Array  # [F, h, w]
    local: jax.Array  # [F, h, w, 3] from the middle of the room
    on_x: jax.Array  # [F, h, w] whether by a wall across x
    on_z: jax.Array
    behind: tuple[jax.Array, jax.Array]  # the room that is entered there, or the same one


def _rooms(home: Apartment, origin: jax.Array, direction: jax.Array) -> tuple[_Hit, jax.Array]:
    """Follow rays ``[3, F, h, w]`` through doorways to the first wall, floor or ceiling; also return its room."""
    away = jnp.where(direction < 0, -1.0, 1.0)
    safe = jnp.where(jnp.abs(direction) < 1e-6, 1e-6 * away, direction)
    i, j = (
        jnp.broadcast_to(jnp.clip(jnp.floor(origin[axis] / SIDE), 0, 1).astype(jnp.int32), direction.shape[1:])
        for axis in (0, 2)
    )

    def cross(i: jax.Array, j: jax.Array) -> _Crossing:
        room = 2 * i + j
        centre_x, centre_z = (SIDE * (at.astype(jnp.float32) + 0.5) for at in (i, j))
        to_x = (centre_x + away[0] * SIDE / 2 - origin[0]) / safe[0]
        to_y = (away[1] * HALF_HEIGHT - origin[1]) / safe[1]
        to_z = (centre_z + away[2] * SIDE / 2 - origin[2]) / safe[2]
        distance = jnp.minimum(jnp.minimum(to_x, to_y), to_z)
        x, y, z = origin + distance[None] * direction
        on_x, on_z = to_x == distance, to_z == distance
        inner_x = on_x & ((i == 0) == (away[0] > 0))
        inner_z = on_z & ~on_x & ((j == 0) == (away[2] > 0))
        in_door_x = jnp.abs(z - jnp.where(j == 0, home.doors[0], home.doors[1])) < DOOR / 2
        in_door_z = jnp.abs(x - jnp.where(i == 0, home.doors[2], home.doors[3])) < DOOR / 2
        local = jnp.stack([x - centre_x, y, z - centre_z], axis=-1)
        behind = jnp.where(inner_x & in_door_x, 1 - i, i), jnp.where(inner_z & in_door_z, 1 - j, j)
        return _Crossing(room, distance, local, on_x, on_z, behind)

    crossed = cross(i, j)
    for _ in range(1, _CROSSED):
        crossed = cross(*crossed.behind)
    room, distance, local, on_x, on_z, _ = crossed
    wall = sample_walls(home.walls, *wall_coordinates(local, jnp.moveaxis(away, 0, -1), on_x), room) / 255
    surfaces = home.surfaces[room]
    flat = jnp.where((direction[1] > 0)[..., None], floor_colour(surfaces, local), surfaces[..., 2, :])
    return _Hit(distance, jnp.moveaxis(jnp.where((on_x | on_z)[..., None], wall, flat), -1, 0)), room


def _pillar(home: Apartment, number: int, origin: jax.Array, direction: jax.Array) -> _Hit:
    """Meet an upright cylinder: its side between top and floor, or its flat top from above."""
    x, z, radius, top = home.pillars[number]
    from_axis = origin[0] - x, origin[2] - z
    side = _enter(from_axis, (direction[0], direction[2]), radius)
    height = origin[1] + jnp.where(jnp.isfinite(side), side, 0.0) * direction[1]
    side = jnp.where(height > top, side, jnp.inf)  # y is down; below the floor the floor is nearer
    lid = (top - origin[1]) / jnp.where(direction[1] > 1e-6, direction[1], 1e-6)
    on_lid = (from_axis[0] + lid * direction[0]) ** 2 + (from_axis[1] + lid * direction[2]) ** 2 < radius**2
    lid = jnp.where(on_lid & (lid > 0), lid, jnp.inf)
    rings = jax.nn.sigmoid(8 * jnp.sin(12 * (height - top)))[None]
    first, second = home.pillar_colours[number][..., None, None, None]
    colour = jnp.where((lid < side)[None], first, first + (second - first) * rings)
    return _Hit(jnp.minimum(side, lid), colour)


def _ball(home: Apartment, number: int, centre: jax.Array, origin: jax.Array, direction: jax.Array) -> _Hit:
    """Meet a ball of two colours, centred at ``centre [F, 3]``."""
    radius = home.balls[number, 5]
    from_centre = origin - centre.T[..., None, None]
    distance = _enter(from_centre, direction, radius)
    height = from_centre[1] + jnp.where(jnp.isfinite(distance), distance, 0.0) * direction[1]
    cap = jax.nn.sigmoid(12 * height / radius)[None]
    first, second = home.ball_colours[number][..., None, None, None]
    return _Hit(distance, first * (1 - cap) + second * cap)


def _enter(offset: Iterable[jax.Array], direction: Iterable[jax.Array], radius: jax.Array) -> jax.Array:
    """Return how far along a ray ``|offset + t direction|`` falls to ``radius``; ``inf`` where it never does."""
    a = jnp.maximum(sum(d**2 for d in direction), 1e-9)
    b = sum(o * d for o, d in zip(offset, direction, strict=True))
    square = b**2 - a * (sum(o**2 for o in offset) - radius**2)
    enters = (-b - jnp.sqrt(jnp.maximum(square, 0.0))) / a
    return jnp.where((square > 0) & (enters > 0), enters, jnp.inf)
