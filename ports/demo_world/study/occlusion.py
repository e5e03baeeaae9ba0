"""How often what is brought back was seen behind a wall: of no room that the new chunk shows."""

from collections.abc import Sequence

import numpy as np

from ports.demo_world.scenario import Scenario, along_paths
from ports.demo_world.worlds.families import Family
from ports.demo_world.worlds.sizes import CHUNK_FRAMES

_COMMON = 0.05  # share of two pictures that shows the same rooms, below which they see nothing in common


def rooms_of_chunks(family: Family, scenario: Scenario) -> np.ndarray:
    """Return the share of each chunk's picture that shows each room, ``[B, chunks, R]``."""
    if family.rooms_seen is None:
        raise ValueError(f"worlds of {family.name} have no walls to see behind")
    shares = along_paths(family.rooms_seen, scenario.worlds, scenario.poses)
    return shares.reshape(len(shares), -1, CHUNK_FRAMES, shares.shape[-1]).mean(axis=2)


def behind_walls(rooms: np.ndarray, retrieved: Sequence[np.ndarray], first: int) -> np.ndarray:
    """Return which share of the picks is from behind a wall, ``[B, chunks]``; NaN where nothing was picked.

    Args:
        rooms: of `rooms_of_chunks`.
        retrieved: chunk ids ``[B, k]`` of each generated chunk.
        first: number of the first of them.
    """
    shares = np.full((len(rooms), len(retrieved)), np.nan)
    for place, picks in enumerate(retrieved):
        if picks.shape[1]:
            now = rooms[:, first + place, None]
            then = np.take_along_axis(rooms, picks[..., None], axis=1)
            shares[:, place] = (np.minimum(now, then).sum(axis=-1) < _COMMON).mean(axis=1)
    return shares
