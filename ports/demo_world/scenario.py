"""What a memory is put through: a true tour of a world as context, then views of it once more."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ports.demo_world.backbone import DemoWorld
from ports.demo_world.worlds.families import ROOMS, Family
from ports.demo_world.worlds.sizes import CHUNK_FRAMES
from worldkv_jax.memory import MemoryConfig
from worldkv_jax.rollout import ChunkInput, World, observe, start

LAP = 12  # chunks of one turn around the room, at 10 degrees a frame
SLOW_LAP, CREEPING_LAP = 24, 48  # at 5 and at 2.5 degrees a frame
TOUR, FIRST, LATE = "tour", "first revisit", "late revisit"


class Scenario(NamedTuple):
    """Worlds that no model was trained on, cameras, and what they really see."""

    worlds: Any  # a pytree of the family, with a leading axis [B]
    poses: np.ndarray  # [B, n, 4, 4] camera-to-world
    truth: np.ndarray  # [B, chunks, 3, H, W, 3] in [0, 1]
    phases: tuple[str, ...]  # of each chunk: tour, first revisit or late revisit

    @property
    def chunks(self) -> int:
        """Chunks in all, the tour included."""
        return len(self.phases)

    @property
    def tour(self) -> int:
        """Chunks of the tour."""
        return self.phases.count(TOUR)


def make_scenario(
    seed: int,
    worlds: int,
    *,
    family: Family = ROOMS,
    laps: int | None = None,
    lap: int = LAP,
    arc: float = 360.0,
    chunks: int | None = None,
    tour_laps: int | None = None,
) -> Scenario:
    """Build ``worlds`` held-out worlds; how cameras move in them is the family's (`Family.laps`).

    Args:
        seed: of worlds and cameras.
        worlds: how many.
        family: which worlds.
        laps: of the camera; the tour, one of first revisits and one of late ones unless given.
        lap: chunks of one lap.
        arc: degrees that a lap turns.
        chunks: cut off after so many; all laps unless given.
        tour_laps: laps of the tour; the family's own unless given.
    """
    tour_laps = family.tour_laps if tour_laps is None else tour_laps
    laps = tour_laps + 2 if laps is None else laps
    phases = make_phases(laps, lap, tour_laps=tour_laps)[:chunks]
    drawn = family.make(seed, worlds)
    paths = family.laps(np.random.default_rng(seed), drawn, laps, lap, arc, tour_laps=tour_laps)
    poses = np.stack([path[: len(phases) * CHUNK_FRAMES] for path in paths])
    truth = along_paths(family.render, drawn, poses)
    return Scenario(drawn, poses, truth.reshape(worlds, len(phases), CHUNK_FRAMES, *truth.shape[2:]), phases)


def along_paths(see: Callable[[Any, jax.Array], jax.Array], worlds: Any, poses: np.ndarray) -> np.ndarray:
    """See along each world's path ``[B, n, ...]`` what ``see`` sees of one world from poses ``[n, 4, 4]``."""
    drawn = jax.tree.map(jnp.asarray, (worlds, poses))
    one_by_one = jax.jit(lambda drawn: jax.lax.map(lambda world: see(*world), drawn))  # the rays of all would be large
    return np.asarray(one_by_one(drawn))


def make_phases(laps: int, lap: int = LAP, *, tour_laps: int = 1) -> tuple[str, ...]:
    """Return the phase of each chunk: the tour, one lap of first revisits, and late ones."""
    return (TOUR,) * tour_laps * lap + (FIRST,) * lap + (LATE,) * (laps - tour_laps - 1) * lap


def latest_phase(phases: Sequence[str]) -> str:
    """Return the latest phase that a rollout has: short ones have first revisits alone."""
    return LATE if LATE in phases else FIRST


def observe_tour(
    backbone: DemoWorld, params: Any, memory: MemoryConfig, inputs: Sequence[ChunkInput], truth: np.ndarray
) -> World:
    """Make worlds that remember the tour.

    Args:
        backbone: the demo world.
        params: its weights.
        memory: the memory.
        inputs: of all chunks of the rollout.
        truth: frames of the tour's chunks ``[B, tour, 3, H, W, 3]``.
    """
    worlds, tour = truth.shape[:2]
    latents = backbone.encode(params, jnp.asarray(truth))
    world = start(backbone, params, memory, chunks=len(inputs), worlds=worlds)
    return observe(backbone, params, world, inputs[:tour], [latents[:, i] for i in range(tour)])
