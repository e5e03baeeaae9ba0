"""The families of demo worlds: how each is drawn, rendered and walked through."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ports.demo_world.worlds import apartment_renderer, apartments, rooms
from ports.demo_world.worlds.apartment_walks import apartment_laps, apartment_walk
from ports.demo_world.worlds.room_walks import room_laps, room_walk
from ports.demo_world.worlds.sizes import CELLS
from worldkv_jax.names import check_name


@dataclasses.dataclass(frozen=True, kw_only=True)
class Family:
    """Worlds of one kind; a world is a pytree of arrays, many have a leading axis."""

    name: str
    cell: int
    """Pixels along one side of a latent cell."""
    channels: int
    """Numbers of a latent cell, which is what the codec keeps of it."""
    tour_laps: int
    """Laps that show all there is to remember."""
    make: Callable[[int, int], Any]
    """Draws worlds from a seed, so many: disjoint seeds give disjoint worlds."""
    repaint: Callable[[Any, jax.Array], Any]
    """Swaps the colour channels of a world by a permutation ``[3]``: six worlds for one."""
    render: Callable[..., jax.Array]
    """Renders one world from poses ``[F, 4, 4]``, at times ``[F]`` or frame ``i`` at time ``i``: frames
    ``[F, H, W, 3]`` in [0, 1]."""
    move: Callable[[Any, jax.Array, jax.Array], jax.Array]
    """Moves a camera in one world from ``[2]``, x and z, towards another place, as far as it may."""
    walk: Callable[..., jax.Array]
    """Draws a random walk to train on from a key, a world and a number of chunks; ``jumps`` lets it look elsewhere
    from one chunk to the next."""
    laps: Callable[..., Iterator[np.ndarray]]
    """Yields each world's path that comes back to what a tour has shown; of one lap, it stays in one room."""
    rooms_seen: Callable[[Any, jax.Array], jax.Array] | None = None
    """Tells which share of each frame shows each room, ``[F, R]``; ``None`` where there are no walls between."""
    moving_pixels: Callable[[Any, jax.Array], jax.Array] | None = None
    """Tells which pixels of each frame show what moves, bool ``[F, H, W]``; ``None`` where nothing does."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a frame in pixels."""
        return CELLS[0] * self.cell, CELLS[1] * self.cell


ROOMS = Family(
    name="rooms",
    cell=rooms.CELL,
    channels=20,
    tour_laps=1,
    make=rooms.make_rooms,
    repaint=rooms.repaint,
    render=rooms.render,
    move=lambda room, place, wanted: jnp.clip(wanted, -rooms.REACH, rooms.REACH),
    walk=lambda key, room, chunks, *, jumps: room_walk(key, chunks, jumps=jumps),
    laps=lambda rng, rooms, laps, lap, arc, *, tour_laps: room_laps(rng, len(rooms.walls), laps, lap, arc),
)
APARTMENTS = Family(
    name="apartments",
    cell=apartment_renderer.CELL,
    channels=36,
    tour_laps=2,
    make=apartments.make_apartments,
    repaint=apartments.repaint,
    render=apartment_renderer.render,
    move=lambda home, place, wanted: apartments.slide(home, place, wanted - place),
    walk=apartment_walk,
    laps=apartment_laps,
    rooms_seen=apartment_renderer.rooms_seen,
    moving_pixels=apartment_renderer.moving_pixels,
)
FAMILIES = {family.name: family for family in (ROOMS, APARTMENTS)}


def family(name: str) -> Family:
    """Return a family by its name."""
    return FAMILIES[check_name("family of worlds", name, FAMILIES)]
