"""What an agent's actions mean to a model: camera poses, or actions of the model's own."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from worldkv_jax.cameras import pose_from_angles
from worldkv_jax.extras import optional_imports

with optional_imports():
    from gymnasium import spaces

Steer = Callable[[Any], Any]
"""Turns an agent's actions of one world, one after the other, into what the session's inputs ask for."""


class Control(Protocol):
    """How worlds are steered."""

    @property
    def space(self) -> spaces.Space:
        """What an action is."""
        ...

    @property
    def rest(self) -> Any:
        """The action with which a world begins."""
        ...

    def begin(self, frames: int) -> Steer:
        """Return what steers a world that begins; chunks have so many latent frames."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class CameraControl:
    """Walk and turn: actions are forward, right and turn to the right, each in [-1, 1], held for a chunk."""

    step: float = 0.1
    """Walk of one latent frame, scene units."""
    degrees: float = 10.0
    """Turn of one latent frame."""

    @property
    def space(self) -> spaces.Box:
        """Forward, right, turn."""
        return spaces.Box(-1.0, 1.0, (3,), np.float32)

    @property
    def rest(self) -> np.ndarray:
        """Stand still."""
        return np.zeros(3, np.float32)

    def begin(self, frames: int) -> Steer:
        """Return what turns actions into poses ``[F, 4, 4]``; the first frame of a world is at the origin."""
        position, yaw, begun = np.zeros(3), 0.0, False

        def steer(action: np.ndarray) -> np.ndarray:
            nonlocal position, yaw, begun
            asked = np.asarray(action, np.float64)
            if asked.shape != (3,) or not np.isfinite(asked).all():
                raise ValueError(f"the action is {action!r}, expected three finite numbers: forward, right and turn")
            forward, right, turn = np.clip(asked, -1, 1)
            poses = []
            for _ in range(frames):
                if begun:
                    yaw += turn * self.degrees
                    ahead = np.deg2rad(yaw)
                    along = np.array([np.sin(ahead), 0.0, np.cos(ahead)])
                    aside = np.array([np.cos(ahead), 0.0, -np.sin(ahead)])
                    position = position + self.step * (forward * along + right * aside)
                begun = True
                poses.append(pose_from_angles(yaw, 0.0, position))
            return np.stack(poses)

        return steer


@dataclasses.dataclass(frozen=True)
class ChoiceControl:
    """Choose among actions of the model's own, such as keys of Matrix-Game; a world begins with the first."""

    choices: Sequence[Any]

    @property
    def space(self) -> spaces.Discrete:
        """The number of an action."""
        return spaces.Discrete(len(self.choices))

    @property
    def rest(self) -> int:
        """The first action."""
        return 0

    def begin(self, frames: int) -> Steer:
        """Return what looks an action up."""
        return self._choose

    def _choose(self, action: Any) -> Any:
        number = int(action)
        if not 0 <= number < len(self.choices):
            raise ValueError(f"the action is {action!r}, expected a number from 0 to {len(self.choices) - 1}")
        return self.choices[number]
