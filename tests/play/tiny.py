"""The tiny backbone as a game: a world that is played in milliseconds, for what does not depend on the model."""

import dataclasses

import numpy as np

from tests.memory.walks import worldkv
from tests.rollout.worlds import BACKBONE
from tests.sessions.tiny import tiny_session
from worldkv_jax.cameras.actions import Stance
from worldkv_jax.memory import CompressionConfig, MemoryConfig
from worldkv_jax.play.game import Game
from worldkv_jax.rollout import ChunkInput
from worldkv_jax.sessions.camera_walk import ARROWS, CameraWalk, last
from worldkv_jax.sessions.steering import Beginning, Controls

FRAMES = BACKBONE.spec.chunk_frames
LONGEST = 40
MEMORIES = {
    "default": worldkv(
        compression=CompressionConfig(keep_ratio=0.5),
        tier="device_slots",
        capacity=LONGEST,
        when_full="drop_most_redundant",
    ),
    "window": MemoryConfig(mode="sliding", recent_frames=6),
    "full": MemoryConfig(mode="full"),
}


class TinySteering:
    """Walks about freely, after one chunk that is given."""

    walk = CameraWalk(step=0.2, degrees=10.0)
    keys = walk.keys
    aliases = ARROWS
    fps = 12.0
    tour = (("l", 9), ("j", 9))
    field_of_view = None
    most_chunks = None
    takes_picture = False

    def begin(self, seed: int, picture: np.ndarray | None = None) -> Beginning:
        """Stand still for a chunk of latents that depend on the seed."""
        start = Stance(np.zeros(3), np.zeros(()), np.zeros(()))
        latents = np.random.default_rng(seed).standard_normal((1, *BACKBONE.latent_shape), np.float32)
        _, given = self.steer(start, Controls(((),) * FRAMES))
        return Beginning(start, [given], [latents], [np.zeros((FRAMES, 2, 2, 3))], [start])

    def frames_of(self, chunk: int) -> int:
        """Return the frames of a chunk."""
        return FRAMES

    def steer(self, state: Stance, controls: Controls) -> tuple[Stance, ChunkInput]:
        """Walk on."""
        path = self.walk.follow(state, controls)
        return last(path), ChunkInput(path.pose()[None, 1:].astype(np.float32))

    def stance(self, state: Stance) -> Stance:
        """Return where the camera stands."""
        return state


def tiny_game(**rooms: int) -> Game:
    """Open the game; ``rooms`` are chunks that worlds have room for, by memory."""
    rooms = dict.fromkeys(MEMORIES, LONGEST) | rooms
    sessions = {name: tiny_session(memory, rooms[name]) for name, memory in MEMORIES.items()}
    loaded = dataclasses.replace(sessions["default"].loaded, steering=TinySteering())
    return Game(
        sessions={name: dataclasses.replace(session, loaded=loaded) for name, session in sessions.items()}, rooms=rooms
    )
