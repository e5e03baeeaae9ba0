"""Procedural apartments: rooms with doorways, things that stand and things that move, and where a camera may be.

An apartment has 2 x 2 rooms of side 2; room ``(i, j)``, number ``2 i + j``, covers x in [2i, 2i + 2] and z in
[2j, 2j + 2]. The floor is `HALF_HEIGHT` below the eye, the ceiling as far above. Four inner walls may have a doorway
as high as the room. Pillars stand and balls move along the outer walls, out of the way of who walks.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ports.demo_world.worlds.rooms import HALF_HEIGHT
from ports.demo_world.worlds.sizes import AnyArray
from ports.demo_world.worlds.textures import draw_hues, draw_surfaces, hsv, paint_wall

SIDE = 2.0
DOOR = 0.8  # width of a doorway
MARGIN = 0.15  # nearest that a camera comes to a wall or to a thing
PILLARS, BALLS = 4, 2
INNER_WALLS = np.array([[0, 2], [1, 3], [0, 1], [2, 3]])
"""Rooms on both sides of each: the first two walls lie at x = 2, the others at z = 2."""
_ROWS, _WALL = 60, 96  # texels of one wall
_NO_DOOR = -9.0


class Apartment(NamedTuple):
    """One apartment, or many along leading axes."""

    walls: AnyArray  # [4, 60, 384, 3] uint8, a panorama for each room
    surfaces: AnyArray  # [4, 3, 3] two floor colours and the ceiling colour of each room, in [0, 1]
    doors: AnyArray  # [4] middle of each inner wall's doorway along the wall; -9 where there is none
    pillars: AnyArray  # [4, 4] x and z of the axis, radius, and y of the top: each stands on the floor
    pillar_colours: AnyArray  # [4, 2, 3] two colours of its rings
    balls: AnyArray  # [2, 7] x, y, z of the path's middle, its half length along x and along z, radius, phase
    ball_colours: AnyArray  # [2, 2, 3] two colours of its caps


def make_apartments(seed: int, count: int) -> Apartment:
    """Draw ``count`` apartments with a leading axis; three or four doorways join all rooms of each."""
    rng = np.random.default_rng(seed)
    made = [_make_apartment(rng) for _ in range(count)]
    return Apartment(*(np.stack(parts) for parts in zip(*made)))


def repaint(home: Apartment, order: jax.Array) -> Apartment:
    """Swap the colour channels of an apartment by a permutation ``[3]``."""
    painted = ("walls", "surfaces", "pillar_colours", "ball_colours")
    return home._replace(**{name: getattr(home, name)[..., order] for name in painted})


def ball_centres(home: Apartment, time: jax.Array) -> jax.Array:
    """Return where the balls are at times ``[F]``, in frames: ``[F, 2, 3]``. Each goes to and fro in 24 frames."""
    balls = jnp.asarray(home.balls)
    swing = jnp.sin(2 * jnp.pi * (time[:, None] / 24 + balls[None, :, 6]))
    half = jnp.stack([balls[:, 3], jnp.zeros_like(balls[:, 3]), balls[:, 4]], axis=-1)
    return balls[None, :, :3] + swing[..., None] * half[None]


def is_free(home: Apartment, place: jax.Array) -> jax.Array:
    """Tell whether a camera may be at ``place [2]``, x and z: `MARGIN` or more from all that stands or may move."""
    inside = (place > MARGIN) & (place < 2 * SIDE - MARGIN)
    by_wall = jnp.abs(place - SIDE) < MARGIN  # beside the wall x = 2 and the wall z = 2
    along = place[::-1]
    doors = jnp.where(along < SIDE, home.doors[jnp.array([0, 2])], home.doors[jnp.array([1, 3])])
    in_door = jnp.abs(along - doors) < DOOR / 2 - MARGIN
    pillars = jnp.linalg.norm(home.pillars[:, :2] - place[None], axis=-1) - home.pillars[:, 2]
    off_path = jnp.maximum(jnp.abs(home.balls[:, jnp.array([0, 2])] - place[None]) - home.balls[:, 3:5], 0.0)
    balls = jnp.linalg.norm(off_path, axis=-1) - home.balls[:, 5]
    return inside.all() & (~by_wall | in_door).all() & (jnp.minimum(pillars.min(), balls.min()) > MARGIN)


def slide(home: Apartment, place: jax.Array, step: jax.Array) -> jax.Array:
    """Move a camera by ``step [2]``, shorter than `MARGIN`: along the wall where the way is blocked, or not at all."""
    along_x, along_z = step * jnp.array([1.0, 0.0]), step * jnp.array([0.0, 1.0])
    moved = place
    for part in (along_z, along_x, step):  # the last that is free
        moved = jnp.where(is_free(home, place + part), place + part, moved)
    return moved


# ---- drawing apartments (host, NumPy) ----


def _make_apartment(rng: np.random.Generator) -> Apartment:
    doors = rng.uniform(0.65, 1.35, 4) + np.array([0, SIDE, 0, SIDE])
    if rng.random() < 0.7:
        doors[rng.integers(4)] = _NO_DOOR
    walls, surfaces = zip(*(_paint_room(rng) for _ in range(4)))
    pillars, balls = _furnish(rng)
    colours = [[hsv(rng.random(), rng.uniform(0.4, 0.8), v) for v in (0.8, 0.4)] for _ in range(PILLARS + BALLS)]
    numbers = [
        np.asarray(a, np.float32) for a in (surfaces, doors, pillars, colours[:PILLARS], balls, colours[PILLARS:])
    ]
    return Apartment(np.stack(walls), *numbers)


def _paint_room(rng: np.random.Generator) -> tuple[np.ndarray, list[np.ndarray]]:
    walls = np.concatenate([paint_wall(rng, hue, _ROWS, _WALL) for hue in draw_hues(rng)], axis=1)
    return np.round(255 * walls).astype(np.uint8), draw_surfaces(rng)


def _furnish(rng: np.random.Generator) -> tuple[list, list]:
    """Stand a pillar near each room's outer corner, and let balls go along the outer walls of two rooms."""
    pillars, balls = [], []
    for room in range(4):
        outward = np.array([room // 2, room % 2]) * 2 - 1
        radius = rng.uniform(0.12, 0.2)
        corner = SIDE + outward * (SIDE - rng.uniform(radius + 0.06, 0.34, 2))
        pillars.append([*corner, radius, rng.uniform(-0.4, 0.3)])
    for room in rng.choice(4, BALLS, replace=False):
        outward = np.array([room // 2, room % 2]) * 2 - 1
        along = rng.integers(2)  # the axis of its path
        radius = rng.uniform(0.1, 0.16)
        middle = SIDE + outward * (SIDE - 1.05)
        middle[1 - along] = SIDE + outward[1 - along] * (SIDE - radius - 0.1)
        half = np.where(np.arange(2) == along, rng.uniform(0.2, 0.3), 0.0)
        balls.append([middle[0], HALF_HEIGHT - radius - rng.uniform(0, 0.5), middle[1], *half, radius, rng.random()])
    return pillars, balls
