"""Walking through a world of the demo, after a true tour of it; the renderer knows what is there."""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ports.demo_world.backbone import DemoParams, DemoWorld
from ports.demo_world.scenario import LAP
from ports.demo_world.worlds.families import Family
from ports.demo_world.worlds.pinhole import FIELD_OF_VIEW
from ports.demo_world.worlds.sizes import CHUNK_FRAMES
from worldkv_jax.cameras import relative
from worldkv_jax.cameras.actions import Stance
from worldkv_jax.rollout import ChunkInput, chunk_inputs
from worldkv_jax.sessions.camera_walk import ARROWS, CameraWalk, last
from worldkv_jax.sessions.steering import Beginning, Controls, Key

_FIRST_WORLD = 1000  # worlds that models were trained and validated on have seeds 1 and 2
_STEP, _DEGREES = 0.02, 3.0


class Visit(NamedTuple):
    """Where somebody is in a world."""

    world: Any  # of its family, without leading axes
    origin: np.ndarray  # [4, 4] the rollout's first camera
    stance: Stance
    seen: np.ndarray  # [F, 4, 4] cameras of the last chunk
    frames: int  # so far


@dataclasses.dataclass(frozen=True)
class DemoSteering:
    """Steers the demo world: every seed is another world, which is shown before somebody walks in it."""

    backbone: DemoWorld
    params: DemoParams

    aliases = ARROWS
    fps = 30.0
    tour = (("l", 45), ("", 6), ("j", 45))
    field_of_view = FIELD_OF_VIEW
    most_chunks = None
    takes_picture = False

    @property
    def keys(self) -> tuple[Key, ...]:
        """Keys that move the camera, which is level."""
        return CameraWalk(most_pitch=0.0).keys

    def begin(self, seed: int, picture: np.ndarray | None = None) -> Beginning:
        """Show the world of a seed."""
        family = self._family
        drawn, laps = family.make(_FIRST_WORLD + seed, 1), family.tour_laps
        (path,) = family.laps(np.random.default_rng(seed), drawn, laps, LAP, 360.0, tour_laps=laps)
        world = jax.tree.map(lambda part: jnp.asarray(part[0]), drawn)
        poses = np.asarray(path, np.float64)
        chunks = len(poses) // CHUNK_FRAMES
        truth = _render(world, jnp.asarray(poses, jnp.float32), jnp.int32(0), family=family)
        truth = truth.reshape(chunks, CHUNK_FRAMES, *truth.shape[1:])
        latents = _encode(self.params, truth, backbone=self.backbone)
        stances = [_level_stance(pose) for pose in poses[CHUNK_FRAMES - 1 :: CHUNK_FRAMES]]
        return Beginning(
            Visit(world, poses[0], stances[-1], poses[-CHUNK_FRAMES:], len(poses)),
            chunk_inputs(poses, self.backbone.spec),
            [latents[None, chunk] for chunk in range(chunks)],
            list(np.asarray(truth)),
            stances,
        )

    def frames_of(self, chunk: int) -> int:
        """Return the frames of a chunk."""
        return CHUNK_FRAMES

    def steer(self, state: Visit, controls: Controls) -> tuple[Visit, ChunkInput]:
        """Walk on, see `worldkv_jax.sessions.steering.Steering`."""
        walls = functools.partial(_slide, state.world, family=self._family)
        walk = CameraWalk(step=_STEP, degrees=_DEGREES, most_pitch=0.0, walls=walls)
        path = walk.follow(state.stance, controls)
        poses = path.pose()[1:]
        cameras = jnp.asarray(relative(state.origin, poses), jnp.float32)
        visit = state._replace(stance=last(path), seen=poses, frames=state.frames + len(poses))
        return visit, ChunkInput(cameras[None])

    def stance(self, state: Visit) -> Stance:
        """Return where the camera stands."""
        return state.stance

    def truth(self, state: Visit) -> np.ndarray:
        """Render what the last chunk should show."""
        first, seen = jnp.int32(state.frames - len(state.seen)), jnp.asarray(state.seen, jnp.float32)
        return np.asarray(_render(state.world, seen, first, family=self._family))

    @property
    def _family(self) -> Family:
        return self.backbone.config.family


def _slide(world: Any, place: np.ndarray, wanted: np.ndarray, *, family: Family) -> np.ndarray:
    """Move as far as walls allow, on the ground."""
    x, z = np.asarray(_moved(world, place[::2].astype(np.float32), wanted[::2].astype(np.float32), family=family))
    return np.array([x, place[1], z], np.float64)


def _level_stance(pose: np.ndarray) -> Stance:
    return Stance(pose[:3, 3], np.zeros(()), np.rad2deg(np.arctan2(pose[0, 2], pose[0, 0])))


@functools.partial(jax.jit, static_argnames="family")
def _moved(world: Any, place: jax.Array, wanted: jax.Array, *, family: Family) -> jax.Array:
    return family.move(world, place, wanted)


@functools.partial(jax.jit, static_argnames="family")
def _render(world: Any, poses: jax.Array, first: jax.Array, *, family: Family) -> jax.Array:
    return family.render(world, poses, first + jnp.arange(len(poses)))


@functools.partial(jax.jit, static_argnames="backbone")
def _encode(params: DemoParams, frames: jax.Array, *, backbone: DemoWorld) -> jax.Array:
    return backbone.encode(params, frames)
