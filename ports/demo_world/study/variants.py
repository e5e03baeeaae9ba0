"""What `worldkv study` compares: one memory in one setting, and short ways to describe memories."""

import dataclasses
from typing import Literal

from ports.demo_world.model import TOKENS
from ports.demo_world.scenario import LAP
from ports.demo_world.worlds.families import ROOMS
from ports.demo_world.worlds.pinhole import intrinsics
from worldkv_jax.cameras import field_of_view
from worldkv_jax.memory import (
    BankConfig,
    CompressionConfig,
    MemoryConfig,
    RetrievalConfig,
    Rule,
    ViewCoverage,
    ViewOverlap,
)
from worldkv_jax.memory.config import Positions
from worldkv_jax.memory.profiles import DISTANCE_RULE
from worldkv_jax.rollout.sampler import Commit

_FIELD = field_of_view(intrinsics(*ROOMS.size), ROOMS.size)
# What can be seen inside a room that is 2 wide. The rules' own defaults are for scenes of unknown size.
OVERLAP = ViewOverlap(fov_degrees=_FIELD, near=0.3, far=2.0)
COVERAGE = ViewCoverage(fov_degrees=_FIELD, near=0.3, far=2.0)
OLDEST = DISTANCE_RULE  # views within about 9 degrees are equal

LONG = 8  # laps of a long rollout: positions up to 287, where training saw gaps up to about 100


@dataclasses.dataclass(frozen=True, kw_only=True)
class Variant:
    """One memory in one setting."""

    name: str
    memory: MemoryConfig
    laps: int = 3
    """Laps of the camera: the tour (taken as one), the first revisit and late ones."""
    lap: int = LAP
    """Chunks of one lap."""
    arc: float = 360.0
    """Degrees that a lap turns."""
    cut: int | None = None
    """Chunks after which the path is cut off."""
    tour_laps: int | None = None
    """Laps of the tour; those of the family unless given."""
    true_past: bool = False
    """Remember the truth after each chunk instead of what was generated: a control without drift."""
    noise: tuple[float, float] = (0.0, 0.0)
    """How much the memory's cameras are off: standard deviations in degrees, and in units of a room 2 wide."""
    steps: int | None = None
    """Denoising passes; all by default."""
    commit: Commit = "clean_pass"
    """Which pass yields what is remembered."""
    weights: str | None = None
    """``int8`` or ``fp8`` for weights in eight bits."""
    quick: bool = False
    """Also part of the quick study."""

    @property
    def long(self) -> bool:
        """Whether it has so many chunks that it is measured on fewer worlds."""
        return self.laps * self.lap > 80

    @property
    def plain(self) -> bool:
        """Whether it is measured in the setting of the demo."""
        usual = (self.laps, self.lap) == (3, LAP) and not any(self.noise)
        return usual and not self.true_past and not self.speed

    @property
    def speed(self) -> dict[str, int | str]:
        """What makes the model itself faster at some cost, where anything does."""
        given = {"steps": self.steps, "commit": self.commit, "weights": self.weights}
        return {name: value for name, value in given.items() if value not in (None, "clean_pass")}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Group:
    """Variants that are compared with one of them."""

    title: str
    variants: tuple[Variant, ...]
    reference: str
    """Name of the variant that the others are compared with."""
    question: str


def worldkv(
    chunks: int = 6,
    ratio: float | None = 0.25,
    rule: str | Rule = "camera",
    *,
    positions: Positions = "as_stored",
    order: Literal["time", "rank"] = "time",
    sink: int = 3,
    bank: BankConfig | None = None,
    **compression,
) -> MemoryConfig:
    """Describe a WorldKV memory; ``ratio=None`` keeps the anchor frame alone."""
    kept = {"keep_tokens": TOKENS} if ratio is None else {"keep_ratio": ratio}
    return MemoryConfig(
        sink_frames=sink,
        retrieval=RetrievalConfig(chunks=chunks, rule=rule, positions=positions, rebase_order=order),
        compression=CompressionConfig(**kept, **compression),
        bank=BankConfig() if bank is None else bank,
    )


def whole(chunks: int = 3, rule: str | Rule = "camera", *, positions: Positions = "rebased", **options) -> MemoryConfig:
    """Describe a WorldKV memory that prunes nothing: 3 chunks are as many tokens as PAPER's 6."""
    return worldkv(chunks, 1.0, rule, positions=positions, **options)
