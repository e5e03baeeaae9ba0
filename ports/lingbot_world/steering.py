"""Walking through a world of LingBot-World-Fast."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ports.lingbot_world.backbone import Given
from ports.wan.program.steering import TOUR, frames_of_chunk, latent_stances
from worldkv_jax.cameras import DEFAULT_INTRINSICS, DEFAULT_SIZE, field_of_view, relative
from worldkv_jax.cameras.actions import Stance, resting
from worldkv_jax.rollout import ChunkInput
from worldkv_jax.sessions.camera_walk import ARROWS, CameraWalk, last
from worldkv_jax.sessions.steering import Beginning, Controls

FPS = 16.0
WALK = CameraWalk(step=0.05)


class Visit(NamedTuple):
    """Where somebody is."""

    chunk: int
    origin: np.ndarray  # [4, 4] the rollout's first camera
    stance: Stance
    cells: jax.Array  # of `encode_first_frame`


@dataclasses.dataclass(frozen=True)
class LingBotSteering:
    """Steers LingBot-World-Fast by camera poses, and by keys where the checkpoint takes them."""

    given: Callable[[jax.Array, int, np.ndarray | None], Given]
    """Makes what a chunk is given besides cameras, of the encoded picture, its number and its keys ``[F, 4]``."""
    cells: jax.Array
    """The picture of the options, encoded."""
    encode: Callable[[np.ndarray], jax.Array]
    """Encodes another picture; loads what it takes, and lets go of it."""
    by_keys: bool
    most_chunks: int

    keys = WALK.keys
    aliases = ARROWS
    fps = FPS
    tour = TOUR
    takes_picture = True

    @property
    def field_of_view(self) -> float:
        """Degrees that the camera sees horizontally."""
        return field_of_view(DEFAULT_INTRINSICS, DEFAULT_SIZE)[0]

    def begin(self, seed: int, picture: np.ndarray | None = None) -> Beginning:
        """Begin where the picture was taken."""
        cells = self.cells if picture is None else self.encode(picture)
        return Beginning(Visit(0, resting().pose(), resting(), cells))

    def frames_of(self, chunk: int) -> int:
        """Return the video frames of a chunk."""
        return frames_of_chunk(chunk)

    def steer(self, state: Visit, controls: Controls) -> tuple[Visit, ChunkInput]:
        """Walk on, see `worldkv_jax.sessions.steering.Steering`."""
        path = WALK.follow(state.stance, controls)
        poses = latent_stances(path, state.chunk).pose()
        cameras = jnp.asarray(relative(state.origin, poses), jnp.float32)[None]
        chunk = ChunkInput(cameras, self.given(state.cells, state.chunk, self._pressed(controls, len(poses))))
        return state._replace(chunk=state.chunk + 1, stance=last(path)), chunk

    def stance(self, state: Visit) -> Stance:
        """Return where the camera stands."""
        return state.stance

    def _pressed(self, controls: Controls, latents: int) -> np.ndarray | None:
        if not self.by_keys:
            return None
        held = np.array([[key in keys for key in "wasd"] for keys in controls.frames], np.float32)
        return held[np.rint(np.linspace(0, len(held) - 1, latents)).astype(int)]
