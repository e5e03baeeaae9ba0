"""What the demo puts a memory through: a true tour of a room as context, then views of it once more."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ports.demo_world import renderer
from ports.demo_world.model import CHUNK_FRAMES
from ports.demo_world.training.training_data import level_poses
from worldkv_jax.memory import MemoryConfig
from worldkv_jax.rollout import Backbone, ChunkInput, World, observe, start

LAP = 12  # chunks of one turn around the room, at 10 degrees a frame
SLOW_LAP, CREEPING_LAP = 24, 48  # at 5 and at 2.5 degrees a frame
TOUR, FIRST, LATE = "tour", "first revisit", "late revisit"


class Scenario(NamedTuple):
    """Rooms that no model was trained on, cameras, and what they really see."""

    poses: np.ndarray  # [B, n, 4, 4] camera-to-world
    truth: np.ndarray  # [B, chunks, 3, 32, 48, 3] in [0, 1]
    phases: tuple[str, ...]  # of each chunk: tour, first revisit or late revisit

    @property
    def chunks(self) -> int:
        """Chunks in all, the tour included."""
        return len(self.phases)

    @property
    def tour(self) -> int:
        """Chunks of the tour."""
        return self.phases.count(TOUR)


def make_scenario(seed: int, worlds: int, *, laps: int = 3, lap: int = LAP) -> Scenario:
    """Build ``worlds`` held-out worlds.

    Each camera turns once around the room (the tour), once more, and then back the other way; further laps go to
    and fro. It starts anywhere, turns left or right, and in every second world it walks a circle while it turns.
    The later laps are a fraction of a frame off the first, so that no view of the tour is seen again exactly.

    Args:
        seed: of rooms and cameras.
        worlds: how many.
        laps: turns around the room, the tour included; all after the second are late revisits.
        lap: chunks of one turn.
    """
    rng = np.random.default_rng(seed)
    frames = lap * CHUNK_FRAMES
    step = 2 * np.pi / frames
    turn = step * np.arange(frames)
    progress = np.concatenate([_of_lap(turn, number, step) for number in range(laps)])
    poses = []
    for world in range(worlds):
        direction, start = rng.choice([-1, 1]), rng.uniform(0, 2 * np.pi)
        yaw = start + direction * progress
        reach = rng.uniform(0.1, 0.3) if world % 2 else 0.0
        centre = rng.uniform(-0.15, 0.15, 2) if world % 2 else np.zeros(2)
        ground = centre + reach * np.stack([np.cos(progress), np.sin(progress)], axis=-1)
        poses.append(np.asarray(level_poses(jnp.asarray(yaw, jnp.float32), jnp.asarray(ground, jnp.float32))))
    poses = np.stack(poses)
    rooms = jax.tree.map(jnp.asarray, renderer.make_rooms(seed, worlds))
    truth = np.asarray(jax.jit(jax.vmap(renderer.render))(rooms, jnp.asarray(poses)))
    phases = make_phases(laps, lap)
    return Scenario(poses, truth.reshape(worlds, len(phases), CHUNK_FRAMES, *truth.shape[2:]), phases)


def make_phases(laps: int, lap: int = LAP) -> tuple[str, ...]:
    """Return the phase of each chunk: the first lap is the tour, the second the first revisit."""
    return (TOUR,) * lap + (FIRST,) * lap + (LATE,) * (laps - 2) * lap


def observe_tour(
    backbone: Backbone, params: Any, memory: MemoryConfig, inputs: Sequence[ChunkInput], truth: np.ndarray
) -> World:
    """Make worlds that remember the tour.

    Args:
        backbone: the demo world.
        params: its weights.
        memory: the memory.
        inputs: of all chunks of the rollout.
        truth: frames of the tour's chunks ``[B, tour, 3, 32, 48, 3]``.
    """
    worlds, tour = truth.shape[:2]
    latents = backbone.encode(params, jnp.asarray(truth))
    world = start(backbone, params, memory, chunks=len(inputs), worlds=worlds)
    return observe(backbone, params, world, inputs[:tour], [latents[:, i] for i in range(tour)])


def _of_lap(turn: np.ndarray, number: int, step: float) -> np.ndarray:
    """Return the progress of one lap: a third of a frame off for the revisits of the demo, later ones vary."""
    if number == 0:
        return turn
    backwards = number % 2 == 0
    offset = 1 / 3 if number < 3 else (number * 0.618) % 1
    return (turn[::-1] if backwards else turn) + step * offset
