"""One world as an environment of gymnasium."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from worldkv_jax.environments.control import CameraControl, Control
from worldkv_jax.environments.frames import as_pixels, frame_space
from worldkv_jax.extras import optional_imports
from worldkv_jax.rollout import Chunk
from worldkv_jax.sessions.session import Session

with optional_imports():
    import gymnasium as gym
    from gymnasium.error import ResetNeeded


class WorldEnv(gym.Env):
    """A world that an agent walks through, one chunk a step.

    It sees the last frame of each chunk, uint8 ``[height, width, 3]``; ``info`` has all ``frames``, the number of the
    ``chunk`` and the chunks that were ``retrieved``. There is no reward: a model has no goal, so a task is a wrapper.
    An episode is cut when the session's chunks are made. The same seed and actions give the same world, that of
    `Session.stream` with the seed.
    """

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012 (as gymnasium has it)

    def __init__(self, session: Session, *, control: Control | None = None, render_mode: str | None = None):
        """Make an environment that has no world yet.

        Args:
            session: a loaded model.
            control: what actions mean; by default `CameraControl`.
            render_mode: ``rgb_array`` or ``None``.

        Raises:
            ValueError: a session that is not loaded, or makes no frames.
        """
        self.session = session
        self.control = CameraControl() if control is None else control
        self.observation_space = frame_space(session)
        self.action_space = self.control.space
        self.render_mode = render_mode
        self.metadata = {**self.metadata, "render_fps": session.fps}
        self._chunks: Iterator[Chunk] | None = None
        self._action: Any = None
        self._seen: np.ndarray | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        """Begin a world with its first chunk.

        Args:
            seed: of the world; by default drawn from what earlier seeds left.
            options: ``{"action": ...}`` for another first action than the control's rest.
        """
        super().reset(seed=seed)
        seed = int(self.np_random.integers(2**63)) if seed is None else seed
        self._action = (options or {}).get("action", self.control.rest)
        steer = self.control.begin(self.session.backbone.spec.chunk_frames)
        inputs = self.session.inputs(lambda chunk: steer(self._action), worlds=1)
        world = self.session.start(worlds=1)
        self._chunks = self.session.stream(world, inputs, seed=seed)
        observation, *_, info = self._next()
        return observation, info

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        """Make the next chunk under an action.

        Raises:
            gymnasium.error.ResetNeeded: before the first `reset`, after the last chunk, or after an error.
            ValueError: an action that is none.
        """
        self._action = action
        return self._next()

    def render(self) -> np.ndarray | None:
        """Return the latest frame."""
        return self._seen if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Let go of the world."""
        self._chunks = None

    def _next(self) -> tuple[np.ndarray, float, bool, bool, dict]:
        if self._chunks is None:
            raise ResetNeeded("there is no world, or it was cut: call reset")
        try:
            chunk = next(self._chunks)
        except BaseException:
            self._chunks = None  # such as an action that is none: the world cannot go on
            raise
        assert chunk.frames is not None, "the session was checked to decode"
        frames = as_pixels(chunk.frames[0])
        self._seen = frames[-1]
        cut = chunk.index + 1 >= self.session.chunks
        if cut:
            self._chunks = None
        return (
            frames[-1],
            0.0,
            False,
            cut,
            {
                "frames": frames,
                "chunk": chunk.index,
                "retrieved": chunk.retrieved[0],
            },
        )
