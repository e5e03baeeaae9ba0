"""Procedural rooms and their exact renderer: the first family of worlds.

A room is a square box of side 2 with four textured walls, a two-coloured floor and a plain ceiling. Its centre is the
origin.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ports.demo_world.worlds.pinhole import world_rays
from ports.demo_world.worlds.sizes import CELLS, AnyArray
from ports.demo_world.worlds.textures import blur, draw_hues, draw_surfaces, hsv
from ports.wan.nn.layers import along_last

CELL = 4  # pixels along one side of a latent cell
HEIGHT, WIDTH = (CELL * cells for cells in CELLS)
HALF_SIDE = 1.0
HALF_HEIGHT = 0.62
REACH = 0.4  # farthest that a visitor walks from the middle along x and z; models were trained to 0.45
_ROWS, _WALL = 48, 64  # texels of one wall
_COLS = 4 * _WALL


class Room(NamedTuple):
    """Textures of one room, or of many along leading axes."""

    walls: AnyArray  # [48, 256, 3] panorama of the four walls, in [0, 1]
    surfaces: AnyArray  # [3, 3] two floor colours and the ceiling colour


def make_rooms(seed: int, count: int) -> Room:
    """Draw ``count`` random rooms, float32 with a leading axis; disjoint seeds give disjoint rooms."""
    rng = np.random.default_rng(seed)
    walls, surfaces = zip(*(_make_room(rng) for _ in range(count)))
    return Room(np.stack(walls), np.stack(surfaces))


def repaint(room: Room, order: jax.Array) -> Room:
    """Swap the colour channels of a room by a permutation ``[3]``."""
    return Room(room.walls[..., order], room.surfaces[..., order])


def render(room: Room, poses: jax.Array, time: jax.Array | None = None) -> jax.Array:
    """Render one room.

    Args:
        room: textures without leading axes.
        poses: ``[F, 4, 4]`` camera-to-world, positions inside the room.
        time: ``[F]``, which does not matter: nothing moves in a room.

    Returns:
        Frames ``[F, 32, 48, 3]`` in [0, 1].
    """
    return render_with_depth(room, poses, size=(HEIGHT, WIDTH))[0]


def render_with_depth(room: Room, poses: jax.Array, *, size: tuple[int, int]) -> tuple[jax.Array, jax.Array]:
    """Render one room at any size, as `render` does, with the exact depth along the viewing direction.

    Args:
        room: textures without leading axes.
        poses: ``[F, 4, 4]`` camera-to-world, positions inside the room.
        size: height and width in pixels; the field of view is that of the demo camera.

    Returns:
        Frames ``[F, h, w, 3]`` in [0, 1] and depth ``[F, h, w]``.
    """
    origin, direction = world_rays(poses, size)
    away = jnp.where(direction < 0, -1.0, 1.0)
    safe = jnp.where(jnp.abs(direction) < 1e-6, 1e-6 * away, direction)
    half = along_last(jnp.array([HALF_SIDE, HALF_HEIGHT, HALF_SIDE]), away)
    reach = (away * half - origin) / safe  # ray length to the plane of each axis, [F, h, w, 3]
    to_wall = jnp.minimum(reach[..., 0], reach[..., 2])
    depth = jnp.minimum(to_wall, reach[..., 1])  # z of a ray is 1
    hit = origin + depth[..., None] * direction
    wall = sample_walls(room.walls, *wall_coordinates(hit, away, reach[..., 0] < reach[..., 2]))
    surfaces = room.surfaces[None, None, None]
    flat = jnp.where(direction[..., 1:2] > 0, floor_colour(surfaces, hit), surfaces[..., 2, :])
    return jnp.where((reach[..., 1] < to_wall)[..., None], flat, wall), depth


def floor_colour(surfaces: AnyArray, hit: jax.Array) -> jax.Array:
    """Colour the floor's tiles ``[..., 3]`` at places ``hit [..., 3]``; ``surfaces [..., 3, 3]`` of their rooms."""
    tiles = jnp.sin(1.5 * jnp.pi * hit[..., 0]) * jnp.sin(1.5 * jnp.pi * hit[..., 2])
    blend = jax.nn.sigmoid(12 * tiles)[..., None]
    first, second = jnp.asarray(surfaces[..., 0, :]), jnp.asarray(surfaces[..., 1, :])
    return first * blend + second * (1 - blend)


def wall_coordinates(hit: jax.Array, away: jax.Array, on_x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return where a hit lies on the panorama, in walls along it and in [0, 1] down.

    The walls are in the order +x, -z, -x, +z, seamless around the room.
    """
    x, y, z = (hit[..., i] for i in range(3))
    along_x = jnp.where(away[..., 0] > 0, 0.5 - z / 2, 2.5 + z / 2)
    along_z = jnp.where(away[..., 2] > 0, 3.5 + x / 2, 1.5 - x / 2)
    return jnp.where(on_x, along_x, along_z), y / HALF_HEIGHT * 0.5 + 0.5


def sample_walls(texture: AnyArray, along: jax.Array, down: jax.Array, *which: jax.Array) -> jax.Array:
    """Sample panoramas bilinearly; they wrap along and are clamped up and down.

    Args:
        texture: ``[..., rows, cols, 3]`` of four walls.
        along: of `wall_coordinates`.
        down: of `wall_coordinates`.
        which: indices of the leading axes, one each.
    """
    rows, cols = texture.shape[-3:-1]
    u, v = along * (cols // 4) - 0.5, jnp.clip(down * rows - 0.5, 0, rows - 1.001)
    left, top = jnp.floor(u), jnp.floor(v)
    a, b = (u - left)[..., None], (v - top)[..., None]
    i, j = left.astype(jnp.int32) % cols, top.astype(jnp.int32)
    k = (i + 1) % cols

    def texel(row, col):
        return texture[*which, row, col].astype(jnp.float32)

    upper = texel(j, i) * (1 - a) + texel(j, k) * a
    lower = texel(j + 1, i) * (1 - a) + texel(j + 1, k) * a
    return upper * (1 - b) + lower * b


# ---- drawing rooms (host, NumPy) ----


def _make_room(rng) -> tuple[np.ndarray, np.ndarray]:
    rows, cols = np.mgrid[0:_ROWS, 0:_COLS]
    texture = np.zeros((_ROWS, _COLS, 3))
    for wall, hue in enumerate(draw_hues(rng)):
        colour = hsv(hue, rng.uniform(0.25, 0.7), rng.uniform(0.4, 0.95))
        texture[:, wall * _WALL : (wall + 1) * _WALL] = colour
    texture *= 1 - 0.25 * rows[..., None] / _ROWS
    for _ in range(rng.integers(9, 14)):
        _draw_shape(rng, texture, rows, cols)
    return blur(texture, 2).astype(np.float32), np.stack(draw_surfaces(rng)).astype(np.float32)


def _draw_shape(rng, texture, rows, cols):
    """Paint a disc, a framed picture, a pillar, a diamond or broad stripes onto the panorama."""
    centre, middle, radius = rng.integers(0, _COLS), rng.integers(8, _ROWS - 8), rng.integers(6, 14)
    dx = np.abs((cols - centre + _COLS // 2) % _COLS - _COLS // 2)
    dy = np.abs(rows - middle)
    kind = rng.choice(["disc", "picture", "pillar", "diamond", "stripes"])
    outer = {
        "disc": dx**2 + dy**2 < radius**2,
        "picture": (dx < radius + 2) & (dy < radius - 1),
        "pillar": dx < radius // 2 + 1,
        "diamond": dx + dy < radius + 3,
        "stripes": (dx < radius + 4) & (dy < radius) & (dx // 5 % 2 == 0),
    }[kind]
    texture[outer] = hsv(rng.random(), rng.uniform(0.4, 1), rng.uniform(0.2, 1))
    if kind == "picture":
        texture[(dx < radius - 2) & (dy < radius - 5)] = hsv(rng.random(), 0.5, rng.uniform(0.3, 1))
