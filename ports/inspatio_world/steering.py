"""Moving the camera through what InSpatio-World films."""

import dataclasses
from functools import cached_property
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from ports.inspatio_world.source.live import Camera, Filmed
from ports.wan.program.steering import TOUR, frames_of_chunk, latent_stances
from worldkv_jax.cameras import field_of_view, relative
from worldkv_jax.cameras.actions import Stance, resting
from worldkv_jax.rollout import ChunkInput
from worldkv_jax.sessions.camera_walk import ARROWS, CameraWalk, last
from worldkv_jax.sessions.steering import Beginning, Controls, Key

_STEP = 0.01
"""Of the scene's median depth, in one frame."""
_DEGREES = 0.5
"""The source shows little of what lies aside, so the camera turns slowly."""


class Visit(NamedTuple):
    """Where somebody is, and what was filmed."""

    origin: np.ndarray | None  # [4, 4] the rollout's first camera
    stance: Stance  # relative to the source's first camera
    filmed: Filmed


@dataclasses.dataclass(frozen=True)
class InSpatioSteering:
    """Steers the camera; each chunk is filmed and encoded when it is due."""

    camera: Camera
    most_chunks: int
    fps: float

    aliases = ARROWS
    tour = TOUR
    takes_picture = False

    @property
    def field_of_view(self) -> float:
        """Degrees that the camera sees horizontally."""
        return field_of_view(self.camera.scene.intrinsics[0], self.camera.scene.size)[0]

    @property
    def keys(self) -> tuple[Key, ...]:
        """Keys that move the camera."""
        return self._walk.keys

    def begin(self, seed: int, picture: np.ndarray | None = None) -> Beginning:
        """Begin at the source's first camera."""
        return Beginning(Visit(None, resting(), Filmed()))

    def frames_of(self, chunk: int) -> int:
        """Return the video frames of a chunk."""
        return frames_of_chunk(chunk)

    def steer(self, state: Visit, controls: Controls) -> tuple[Visit, ChunkInput]:
        """Move on, see `worldkv_jax.sessions.steering.Steering`."""
        path = self._walk.follow(state.stance, controls)
        source = np.asarray(self.camera.scene.poses[0], np.float64)
        poses = source @ latent_stances(path, state.filmed.chunk).pose()
        origin = poses[0] if state.origin is None else state.origin
        filmed, given = self.camera.film(state.filmed, poses)
        cameras = jnp.asarray(relative(origin, poses), jnp.float32)[None]
        return Visit(origin, last(path), filmed), ChunkInput(cameras, given)

    def stance(self, state: Visit) -> Stance:
        """Return where the camera stands, from where the source began."""
        return state.stance

    @cached_property
    def _walk(self) -> CameraWalk:
        depth = self.camera.scene.depth
        return CameraWalk(step=_STEP * float(np.median(depth[depth > 0])), degrees=_DEGREES)
