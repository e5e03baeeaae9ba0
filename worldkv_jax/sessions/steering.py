"""Steering: what a model offers so that somebody can walk through its world, key by key."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np

from worldkv_jax.cameras.actions import Stance
from worldkv_jax.rollout import ChunkInput

MOST_DEGREES = 180.0
"""That a mouse turns the camera in one chunk."""
_MOST_FRAMES = 64


class Key(NamedTuple):
    """A key that the model knows."""

    key: str
    """What is sent, such as ``"w"``."""
    label: str
    """What it does, in a word or two."""
    group: str
    """``walk`` or ``look``, or whatever else belongs together."""


@dataclasses.dataclass(frozen=True)
class Controls:
    """What somebody did during one chunk; with the seed, all that decides it."""

    frames: tuple[tuple[str, ...], ...]
    """Keys held in every video frame, each in alphabetical order."""
    look: tuple[float, float] = (0.0, 0.0)
    """Degrees that a mouse turned the camera in all, to the right and up."""

    @property
    def idle(self) -> bool:
        """Whether nothing was done."""
        return not any(self.frames) and self.look == (0.0, 0.0)

    def to_json(self) -> list[Any]:
        """Return it as JSON: runs of frames with the same keys, and the mouse where it moved."""
        runs: list[list[Any]] = []
        for keys in self.frames:
            if runs and runs[-1][0] == list(keys):
                runs[-1][1] += 1
            else:
                runs.append([list(keys), 1])
        return [runs, *([list(self.look)] if self.look != (0.0, 0.0) else [])]

    @classmethod
    def from_json(cls, data: Any) -> "Controls":
        """Make it of what `to_json` returned.

        Raises:
            ValueError: it is something else.
        """
        try:
            runs, *look = data
            frames = [keys for keys, count in runs for keys in [tuple(map(str, keys))] * _count(count)]
            right, up = map(float, look[0]) if look else (0.0, 0.0)
        except (TypeError, ValueError) as error:
            raise ValueError(f"these are no controls of a chunk ({error}): {str(data)[:60]}") from None
        if len(look) > 1 or not np.isfinite([right, up]).all() or max(abs(right), abs(up)) > MOST_DEGREES:
            raise ValueError(f"a look of {str(look)[:60]} is not two numbers of at most {MOST_DEGREES} degrees")
        return cls(tuple(frames), (right, up))


def _count(number: Any) -> int:
    if not isinstance(number, int) or not 1 <= number <= _MOST_FRAMES:
        raise ValueError(f"{number!r} is no number of frames")
    return number


class Beginning(NamedTuple):
    """How a world begins."""

    state: Any
    """Of the steering, before the first chunk; a value, never changed."""
    inputs: Sequence[ChunkInput] = ()
    """Of chunks that are given and not generated, to be observed first."""
    latents: Sequence[jax.Array] = ()
    """Their latents."""
    frames: Sequence[np.ndarray] = ()
    """Their pictures ``[n, height, width, 3]``."""
    stances: Sequence[Stance] = ()
    """Where the camera stood at the end of each."""


class Steering(Protocol):
    """Turns controls into what chunks are given. States are values: one may go on from any, any number of times.

    What is a property here may be a field.
    """

    @property
    def keys(self) -> tuple[Key, ...]:
        """All keys that it knows."""
        ...

    @property
    def aliases(self) -> Mapping[str, str]:
        """Other names of keys, such as those of the arrows."""
        ...

    @property
    def fps(self) -> float:
        """Frames a second to play at."""
        ...

    @property
    def tour(self) -> tuple[tuple[str, int], ...]:
        """A short walk to watch: keys, and for how many frames; it leads away and back."""
        ...

    @property
    def field_of_view(self) -> float | None:
        """Degrees that the camera sees horizontally, where that is known."""
        ...

    @property
    def most_chunks(self) -> int | None:
        """Chunks that a world can have; ``None`` where nothing but the memory limits it."""
        ...

    @property
    def takes_picture(self) -> bool:
        """Whether a world can begin with a picture that somebody gives."""
        ...

    def begin(self, seed: int, picture: np.ndarray | None = None) -> Beginning:
        """Begin a world.

        Args:
            seed: of the world.
            picture: uint8 ``[h, w, 3]`` that it begins with, where the model takes one; by default that of the options.
        """
        ...

    def frames_of(self, chunk: int) -> int:
        """Return the video frames of a chunk, for each of which keys are asked."""
        ...

    def steer(self, state: Any, controls: Controls) -> tuple[Any, ChunkInput]:
        """Return the state after a chunk, and what the chunk is given.

        Raises:
            ValueError: keys that are not known, or another number of frames.
        """
        ...

    def stance(self, state: Any) -> Stance:
        """Return where the camera stands."""
        ...


@runtime_checkable
class KnowsTruth(Protocol):
    """What a steering also offers where it is known how the world really looks."""

    def truth(self, state: Any) -> np.ndarray:
        """Return what the chunk that led to this state should show, ``[n, height, width, 3]`` in [0, 1]."""
        ...
