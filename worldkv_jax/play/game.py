"""A model that is opened to be played: loaded once, with every memory that its worlds can be given."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping

import numpy as np

from worldkv_jax.memory import OFFICIAL, PAPER, MemoryConfig
from worldkv_jax.memory.layout import Layout
from worldkv_jax.sessions import MemoryOptions, ModelOptions, Session
from worldkv_jax.sessions.free_memory import available_device_bytes, available_host_bytes
from worldkv_jax.sessions.identity import fingerprint, world_identity
from worldkv_jax.sessions.plan import Plan
from worldkv_jax.sessions.steering import KnowsTruth, Steering
from worldkv_jax.sessions.world_state import decoded_shapes

MEMORIES: Mapping[str, MemoryConfig] = {
    "paper": PAPER,
    "official": OFFICIAL,
    "window": MemoryConfig(mode="sliding", recent_frames=6),
    "full": MemoryConfig(mode="full"),
}
"""Memories beside the model's own, which is called ``default``."""
BANK_CHUNKS = 512
"""A longer world drops the chunks whose views are seen best by others."""
FULL_CHUNKS = 128
"""Longest world under full memory, whose cost grows with its length."""
MOST_POINTS = 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class Game:
    """A loaded model, and its worlds' memories by name."""

    sessions: Mapping[str, Session]
    """The model with each memory, ``default`` first; they share weights."""
    rooms: Mapping[str, int]
    """Chunks that a world has room for under each."""

    @classmethod
    def open(cls, options: ModelOptions, asked: MemoryOptions | None, *, longest: int) -> "Game":
        """Check everything that was asked for; allocates nothing, see `load`.

        Args:
            options: of the model.
            asked: the memory that is called default; ``None`` for the model's own.
            longest: chunks that a world may have.

        Raises:
            OSError: a file is missing.
            ValueError: something is not as it has to be.
        """
        options = options.played(longest)
        default = options.check(asked)
        sessions, rooms = {}, {}
        for name, memory in {"default": default.memory, **MEMORIES}.items():
            room = min(longest, FULL_CHUNKS) if memory.mode == "full" else longest
            try:
                session = default if name == "default" else options.check(memory)
                spec = session.backbone.spec
                memory = _endless(session.memory, room, spec.chunk_frames, session.backbone.lag)
                Layout(config=memory, spec=spec, worlds=1, chunks=room)
            except ValueError:  # a memory that does not fit the model, or worlds of this length
                if name == "default":
                    raise
                continue
            sessions[name] = dataclasses.replace(session, memory=memory, chunks=room)
            rooms[name] = room
        return cls(sessions=sessions, rooms=rooms)

    def load(self) -> "Game":
        """Place the weights.

        Raises:
            OSError: a file is missing or cannot be read.
            ValueError: damaged weights, or a model that cannot be steered.
        """
        loaded = self.default.load()
        if loaded.loaded is None or loaded.loaded.steering is None:
            raise ValueError(f"{loaded.model} cannot be played: its package offers no `steering`")
        sessions = {
            name: dataclasses.replace(session, loaded=loaded.loaded, placement=loaded.placement)
            for name, session in self.sessions.items()
        }
        return dataclasses.replace(self, sessions=sessions | {"default": loaded})

    @property
    def default(self) -> Session:
        """The model with its own memory."""
        return self.sessions["default"]

    @property
    def steering(self) -> Steering:
        """How its worlds are walked through."""
        loaded = self.default.loaded
        if loaded is None or loaded.steering is None:
            raise ValueError(f"{self.default.model} is not loaded; take what load() returns")
        return loaded.steering

    def free_bytes(self) -> int:
        """Return the bytes that worlds may take where they are kept: on the device, or on a CPU in main memory."""
        free = available_device_bytes()
        return available_host_bytes() if free is None else free

    @functools.cached_property
    def identities(self) -> dict[str, dict]:
        """What decides how worlds go on, by memory."""
        weights = fingerprint(self.default.params)
        return {
            name: world_identity(
                session.model,
                session.backbone,
                None,
                Layout(config=session.memory, spec=session.backbone.spec, worlds=1, chunks=self.rooms[name]),
            )
            | {"weights": weights}
            for name, session in self.sessions.items()
        }

    @functools.cached_property
    def identity(self) -> str:
        """A checksum of all that decides how worlds go on."""
        return hashlib.sha256(json.dumps(self.identities, sort_keys=True).encode()).hexdigest()

    @functools.cached_property
    def most_points(self) -> int:
        """Points that a session keeps: as many as a tenth of the memory for its worlds has room for, 2 to 16."""
        point = max(self.plan(name).point_bytes for name in self.sessions)
        return int(np.clip(available_host_bytes() // 10 // max(1, point), 2, MOST_POINTS))

    @functools.cached_property
    def size(self) -> tuple[int, int]:
        """Height and width of its frames."""
        session = self.default
        frames, _ = decoded_shapes(session.backbone, session.params, 1, None)
        return frames.shape[2], frames.shape[3]

    @property
    def knows_truth(self) -> bool:
        """Whether it is known how a world really looks."""
        return isinstance(self.steering, KnowsTruth)

    def plan(self, memory: str) -> Plan:
        """Count what a world with a memory needs."""
        return self.sessions[memory].plan()


def _endless(memory: MemoryConfig, room: int, chunk_frames: int, lag: int) -> MemoryConfig:
    """Let a memory go on when its bank is full, and let forks share what it stores."""
    if memory.bank is None:
        return memory
    bank = dataclasses.replace(
        memory.bank,
        tier="device_slots" if memory.bank.tier == "device" else memory.bank.tier,
        capacity=memory.bank.capacity or min(room, BANK_CHUNKS),
        when_full="drop_most_redundant" if memory.bank.when_full == "error" else memory.bank.when_full,
    )
    return dataclasses.replace(memory, bank=bank).fitted(room - lag, chunk_frames=chunk_frames)
