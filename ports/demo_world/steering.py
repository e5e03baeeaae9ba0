"""Walking through a room of the demo world, after a true tour of it; the renderer knows what is there."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ports.demo_world import renderer
from ports.demo_world.backbone import DemoParams, DemoWorld
from ports.demo_world.model import CHUNK_FRAMES
from worldkv_jax.cameras import relative
from worldkv_jax.cameras.actions import Stance, resting
from worldkv_jax.rollout import ChunkInput, chunk_inputs
from worldkv_jax.sessions.camera_walk import ARROWS, CameraWalk, last
from worldkv_jax.sessions.steering import Beginning, Controls, Key

FPS = 30.0
_TOUR_CHUNKS = 12
_FIRST_ROOM = 1000  # rooms that the model was trained and validated on have seeds 1 and 2
_WALK = CameraWalk(step=0.02, degrees=3.0, most_pitch=0.0, reach=0.4)


class Visit(NamedTuple):
    """Where somebody is in a room."""

    room: renderer.Room
    origin: np.ndarray  # [4, 4] the rollout's first camera
    stance: Stance
    seen: np.ndarray  # [F, 4, 4] cameras of the last chunk


@dataclasses.dataclass(frozen=True)
class RoomSteering:
    """Steers the demo world: every seed is another room, which is shown once around before somebody walks in it."""

    backbone: DemoWorld
    params: DemoParams

    keys: ClassVar[tuple[Key, ...]] = _WALK.keys
    aliases: ClassVar[Mapping[str, str]] = ARROWS
    fps: ClassVar[float] = FPS
    tour: ClassVar[tuple[tuple[str, int], ...]] = (("l", 45), ("", 6), ("j", 45))
    field_of_view: ClassVar[float] = renderer.FIELD_OF_VIEW
    most_chunks: ClassVar[None] = None
    takes_picture: ClassVar[bool] = False

    def begin(self, seed: int, picture: np.ndarray | None = None) -> Beginning:
        """Show the room of a seed once around."""
        room = jax.tree.map(lambda part: jnp.asarray(part[0]), renderer.make_rooms(_FIRST_ROOM + seed, 1))
        frames = CHUNK_FRAMES * _TOUR_CHUNKS
        path = Stance(np.zeros((frames, 3)), np.zeros(frames), np.arange(frames) * 360.0 / frames)
        poses = path.pose()
        truth = _render(room, jnp.asarray(poses, jnp.float32)).reshape(_TOUR_CHUNKS, CHUNK_FRAMES, *_SIZE)
        latents = _encode(self.params, truth, backbone=self.backbone)
        ends = [Stance(*(part[at] for part in path)) for at in range(CHUNK_FRAMES - 1, frames, CHUNK_FRAMES)]
        state = Visit(room, poses[0], resting(), poses[-CHUNK_FRAMES:])
        inputs = chunk_inputs(poses, self.backbone.spec)
        return Beginning(state, inputs, [latents[None, i] for i in range(_TOUR_CHUNKS)], np.asarray(truth), ends)

    def frames_of(self, chunk: int) -> int:
        """Return the frames of a chunk."""
        return CHUNK_FRAMES

    def steer(self, state: Visit, controls: Controls) -> tuple[Visit, ChunkInput]:
        """Walk on, see `worldkv_jax.sessions.steering.Steering`."""
        path = _WALK.follow(state.stance, controls)
        poses = path.pose()[1:]
        cameras = jnp.asarray(relative(state.origin, poses), jnp.float32)
        return state._replace(stance=last(path), seen=poses), ChunkInput(cameras[None])

    def stance(self, state: Visit) -> Stance:
        """Return where the camera stands."""
        return state.stance

    def truth(self, state: Visit) -> np.ndarray:
        """Render what the last chunk should show."""
        return np.asarray(_render(state.room, jnp.asarray(state.seen, jnp.float32)))


_SIZE = (renderer.HEIGHT, renderer.WIDTH, 3)
_render = jax.jit(renderer.render)


@functools.partial(jax.jit, static_argnames="backbone")
def _encode(params: DemoParams, frames: jax.Array, *, backbone: DemoWorld) -> jax.Array:
    return backbone.encode(params, frames)
