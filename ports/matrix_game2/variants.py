"""The three released variants: what they were trained on, which keys they know, how they are sampled."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from ports.matrix_game2.config import MOUSE_COLUMNS, MatrixGameConfig
from ports.matrix_game2.schedule import matrix_game_schedule
from worldkv_jax.names import check_name
from worldkv_jax.rollout import Schedule

MOUSE_UNITS = 0.1
"""What a held camera key moves the mouse in every frame; the models were trained on it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Variant:
    """One released variant."""

    name: str
    columns: tuple[str, ...]
    """What each column of the keyboard means."""
    keys: Mapping[str, str]
    """Letter to column of the keyboard."""
    looks: Mapping[str, tuple[float, float]]
    """Letter to pitch and yaw of the mouse, in mouse units a frame; empty where there is no mouse."""
    rest: str = "q"
    """Letter for nothing pressed; others are allowed where the released prompt has them."""
    idle_column: str | None = None
    """Column that says that no key is pressed, where the model has one; otherwise all columns are zero."""
    exclusive: bool = False
    """Whether one key is pressed at a time."""
    window_frames: int
    """Latent frames that attention reaches, those of the current chunk included."""
    steps: tuple[int, ...] = (1000, 666, 333)
    """Training steps that the model was distilled for."""
    checkpoint: str
    """Released file, as it lies in the model folder."""
    tour: str
    """Actions where none are given and none are needed: somewhere, around and back."""

    def configure(self, **sizes: Any) -> MatrixGameConfig:
        """Make the configuration of the transformer, with other sizes where given."""
        sizes = {
            "keyboard_columns": len(self.columns),
            "mouse": self.mouse,
            "window_frames": self.window_frames,
            **sizes,
        }
        return MatrixGameConfig(**sizes)

    @property
    def mouse(self) -> bool:
        """Whether the model knows a mouse."""
        return bool(self.looks)

    @property
    def letters(self) -> tuple[str, ...]:
        """All letters that may be pressed."""
        return tuple(dict.fromkeys([*self.keys, *self.looks, self.rest]))

    @property
    def schedule(self) -> Schedule:
        """Diffusion times and noise levels."""
        return matrix_game_schedule(self.steps)

    def keyboard_row(self, letters: str) -> np.ndarray:
        """Return the row of the keyboard while these letters are pressed, float32 ``[K]``."""
        row = np.zeros(len(self.columns), np.float32)
        pressed = [self.keys[letter] for letter in letters if letter in self.keys]
        for column in pressed or ([self.idle_column] if self.idle_column else []):
            row[self.columns.index(column)] = 1
        return row

    def mouse_row(self, letters: str) -> np.ndarray | None:
        """Return the row of the mouse while these letters are pressed, float32 ``[2]``."""
        if not self.mouse:
            return None
        looks = [self.looks[letter] for letter in letters if letter in self.looks]
        return np.asarray(looks, np.float32).reshape(-1, MOUSE_COLUMNS).sum(axis=0)


UNIVERSAL = Variant(
    name="universal",
    columns=("forward", "back", "left", "right"),
    keys={"w": "forward", "s": "back", "a": "left", "d": "right"},
    looks={
        "i": (MOUSE_UNITS, 0.0),
        "k": (-MOUSE_UNITS, 0.0),
        "j": (0.0, -MOUSE_UNITS),
        "l": (0.0, MOUSE_UNITS),
        "u": (0.0, 0.0),
    },
    window_frames=6,
    checkpoint="base_distilled_model/base_distill.safetensors",
    tour="W2 L5 W2 J5 S4",
)
"""Any scene, on foot: W, S, A, D walk and I, K, J, L look up, down, left and right."""

GTA_DRIVE = Variant(
    name="gta_drive",
    columns=("forward", "back"),
    keys={"w": "forward", "s": "back"},
    looks={"a": (0.0, -MOUSE_UNITS), "d": (0.0, MOUSE_UNITS)},
    window_frames=4,
    checkpoint="gta_distilled_model/gta_keyboard2dim.safetensors",
    tour="W4 WD8 W4 WA8",
)
"""A car in a city: W and S are the pedals, A and D steer."""

TEMPLERUN = Variant(
    name="templerun",
    columns=("no move", "jump", "slide", "turn left", "turn right", "left side", "right side"),
    keys={"w": "jump", "s": "slide", "z": "turn left", "c": "turn right", "a": "left side", "d": "right side"},
    looks={},
    idle_column="no move",
    exclusive=True,
    window_frames=6,
    steps=(1000, 750, 500, 250),
    checkpoint="templerun_distilled_model/templerun_7dim_onlykey.safetensors",
    tour="Q W Q A D Z Q S C Q",
)
"""An endless run: W jumps, S slides, Z and C turn, A and D step aside, one at a time."""

VARIANTS: dict[str, Variant] = {variant.name: variant for variant in (UNIVERSAL, GTA_DRIVE, TEMPLERUN)}


def variant_named(name: str) -> Variant:
    """Return a variant by name."""
    return VARIANTS[check_name("variant", name, VARIANTS)]


def variant_of(keyboard_columns: int, mouse: bool) -> Variant | None:
    """Return the variant that has these inputs."""
    for variant in VARIANTS.values():
        if (len(variant.columns), variant.mouse) == (keyboard_columns, mouse):
            return variant
    return None
