"""What `worldkv study` compares: memories in groups that each change one thing."""

import dataclasses

from ports.demo_world import renderer
from ports.demo_world.model import TOKENS
from ports.demo_world.scenario import LAP, SLOW_LAP
from worldkv_jax.cameras import field_of_view
from worldkv_jax.memory import (
    DEFAULT,
    OFFICIAL,
    PAPER,
    BankConfig,
    CameraDistance,
    CompressionConfig,
    MemoryConfig,
    RetrievalConfig,
    Rule,
    ViewCoverage,
    ViewOverlap,
)

_FIELD = field_of_view(renderer.intrinsics(), (renderer.HEIGHT, renderer.WIDTH))
# What can be seen inside a room that is 2 wide. The rules' own defaults are for scenes of unknown size.
OVERLAP = ViewOverlap(fov_degrees=_FIELD, near=0.3, far=2.0)
COVERAGE = ViewCoverage(fov_degrees=_FIELD, near=0.3, far=2.0)
OLDEST = CameraDistance(tolerance=0.05)  # views within about 9 degrees are equal

LONG = 8  # laps of a long rollout: positions up to 287, where training saw gaps up to about 100


@dataclasses.dataclass(frozen=True, kw_only=True)
class Variant:
    """One memory in one setting."""

    name: str
    memory: MemoryConfig
    laps: int = 3
    """Laps of the room: the tour, the first revisit and late ones."""
    lap: int = LAP
    """Chunks of one lap."""
    noise: tuple[float, float] = (0.0, 0.0)
    """How much the memory's cameras are off: standard deviations in degrees, and in units of a room 2 wide."""
    quick: bool = False
    """Also part of the quick study."""

    @property
    def plain(self) -> bool:
        """Whether it is measured in the setting of the demo."""
        return (self.laps, self.lap) == (3, LAP) and not any(self.noise)


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
    positions: str = "as_stored",
    order: str = "time",
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


def whole(chunks: int = 3, rule: str | Rule = "camera", *, positions: str = "rebased", **options) -> MemoryConfig:
    """Describe a WorldKV memory that prunes nothing: 3 chunks are as many tokens as PAPER's 6."""
    return worldkv(chunks, 1.0, rule, positions=positions, **options)


FULL = Variant(name="full KV", memory=MemoryConfig(mode="full"), quick=True)
SLIDING = Variant(name="sliding window", memory=MemoryConfig(mode="sliding", recent_frames=6), quick=True)
SINK = Variant(name="sink + recent", memory=MemoryConfig(mode="sink_recent", recent_frames=3), quick=True)
OFFICIAL_ = Variant(name="OFFICIAL", memory=OFFICIAL, quick=True)
PAPER_ = Variant(name="PAPER", memory=PAPER, quick=True)
DEFAULT_ = Variant(name="DEFAULT", memory=DEFAULT, quick=True)
_WIDE = Variant(name="sink + recent, 360 tokens", memory=MemoryConfig(mode="sink_recent", recent_frames=12))

MODES = Group(
    title="Memory modes",
    variants=(FULL, SLIDING, SINK, _WIDE, PAPER_, OFFICIAL_, DEFAULT_),
    reference="full KV",
    question="Does the cache remember, does the window forget, and does WorldKV keep up with full KV?",
)

_KEEPS = {"1": 1.0, "0.5": 0.5, "0.25": 0.25, "0.1": 0.1, "anchor only": None}
KEEP_RATIO = Group(
    title="Keep ratio, six chunks",
    variants=tuple(
        Variant(name=f"keep {name}", memory=worldkv(6, keep), quick=name in ("1", "0.25", "anchor only"))
        for name, keep in _KEEPS.items()
    ),
    reference="keep 0.25",
    question="How much of a chunk must be kept, if six chunks are brought back whatever they cost?",
)
_AT_360 = {"3 whole chunks": (3, 1.0), "6 at 0.25": (6, 0.25), "9 anchors": (9, None)}
_AT_432 = {"4 whole chunks": (4, 1.0), "6 at 0.5": (6, 0.5), "8 at 0.25": (8, 0.25), "12 anchors": (12, None)}
BUDGET = Group(
    title="Few whole chunks or many pruned ones",
    variants=tuple(
        Variant(name=f"{name}, {tokens} tokens", memory=worldkv(*spent, positions="rebased"))
        for tokens, budget in ((360, _AT_360), (432, _AT_432))
        for name, spent in budget.items()
    ),
    reference="6 at 0.25, 360 tokens",
    question="What should a fixed number of attended tokens be spent on?",
)
SLOW = Group(
    title="The same for a camera half as fast",
    variants=(
        Variant(name="OFFICIAL, slow", memory=OFFICIAL, lap=SLOW_LAP),
        *(
            Variant(name=f"{name}, slow", memory=worldkv(*spent, positions="rebased"), lap=SLOW_LAP)
            for name, spent in _AT_360.items()
        ),
    ),
    reference="6 at 0.25, slow",
    question="At 5 degrees a frame instead of 10, frames of a chunk resemble each other more: is pruning worth more?",
)
SCORE = Group(
    title="Which tokens are kept, six chunks at 0.25",
    variants=(
        Variant(name="per key, pooled", memory=worldkv(), quick=True),
        Variant(name="per key, per frame", memory=worldkv(pooled=False)),
        Variant(name="centroid, pooled", memory=worldkv(similarity="centroid")),
        Variant(name="random", memory=worldkv(keep="random")),
        Variant(name="the most similar", memory=worldkv(keep="redundant"), quick=True),
    ),
    reference="per key, pooled",
    question="Does it matter which tokens are pruned?",
)
_COUNTS = (1, 2, 3, 4, 6, 12)
_KINDS = {  # as the figure names its lines
    "whole, by distance": lambda count: whole(count),
    "whole, the oldest of equals": lambda count: whole(count, OLDEST),
    "whole, by overlap": lambda count: whole(count, OVERLAP),
    "at 0.25, by distance": lambda count: worldkv(count, positions="rebased"),
    "at 0.25, by overlap": lambda count: worldkv(count, rule=OVERLAP, positions="rebased"),
}
COUNT = Group(
    title="Number of retrieved chunks",
    variants=tuple(
        Variant(name=f"{count} {kind}", memory=memory(count)) for kind, memory in _KINDS.items() for count in _COUNTS
    ),
    reference="3 whole, by distance",
    question="How many chunks should come back?",
)
_RULES = {
    "released distance": "released",
    "mended distance": "camera",
    "mended, the oldest of equals": OLDEST,
    "view overlap": OVERLAP,
    "overlap with coverage": COVERAGE,
    "attention": "attention",
    "most recent": "recent",
    "random": "random",
}


def _rules(count: int, quick: tuple[str, ...] = ()) -> Group:
    return Group(
        title=f"Retrieval rule, {count} whole chunk{'s' * (count > 1)}",
        variants=tuple(
            Variant(name=f"{name}, {count}", memory=whole(count, rule), quick=name in quick)
            for name, rule in _RULES.items()
        ),
        reference=f"mended distance, {count}",
        question="By what should chunks be found?",
    )


ONE_CHUNK, THREE_CHUNKS = _rules(1), _rules(3, quick=("mended distance", "overlap with coverage", "random"))
TOLERANCE = Group(
    title="The oldest of equals: what counts as equal",
    variants=tuple(
        Variant(name=f"within {tolerance:g}, {count}", memory=whole(count, CameraDistance(tolerance=tolerance)))
        for tolerance in (0.0, 0.02, 0.05, 0.1, 0.2)
        for count in (1, 3)
    ),
    reference="within 0, 3",
    question="Of views that are nearly equal the oldest drifted least. Up to which difference does that help?",
)
POSITIONS = Group(
    title=f"Positions of retrieved keys, {LONG} laps",
    variants=(
        Variant(name="full KV, long", memory=FULL.memory, laps=LONG),
        Variant(name="OFFICIAL, long", memory=OFFICIAL, laps=LONG),
        Variant(name="PAPER, long", memory=PAPER, laps=LONG),
        Variant(name="as stored", memory=whole(positions="as_stored"), laps=LONG, quick=True),
        Variant(name="re-based by time", memory=whole(), laps=LONG, quick=True),
        Variant(name="re-based by rank", memory=whole(order="rank"), laps=LONG),
        Variant(name="re-based, no sink", memory=whole(sink=0), laps=LONG),
    ),
    reference="as stored",
    question="Where should retrieved keys seem to stand, when the rollout outgrows the positions of training?",
)
_LONG_RULES = ("mended distance", "mended, the oldest of equals", "overlap with coverage")
LONG_RULES = Group(
    title=f"Retrieval rule, {LONG} laps",
    variants=tuple(
        Variant(name=f"{name}, {count}, long", memory=whole(count, _RULES[name]), laps=LONG)
        for name in _LONG_RULES
        for count in (1, 3)
    ),
    reference="mended distance, 3, long",
    question="By what should chunks be found, when most of what is stored was generated and has drifted?",
)
_NOISES = ((5.0, 0.05), (15.0, 0.15), (45.0, 0.45))
_GUIDED = {
    "mended distance": whole(),
    "overlap with coverage": whole(3, COVERAGE),
    "oldest of equals": whole(3, OLDEST),
    "one oldest of equals": whole(1, OLDEST),
}
CAMERAS = Group(
    title="Noise on the memory's cameras",
    variants=tuple(
        Variant(name=f"{name}, {degrees:g}° and {distance:g}", memory=memory, noise=(degrees, distance))
        for degrees, distance in ((0.0, 0.0), *_NOISES)
        for name, memory in _GUIDED.items()
    ),
    reference="mended distance, 0° and 0",
    question="How well must the cameras be known?",
)


def _bank(capacity: int, policy: str) -> MemoryConfig:
    return whole(bank=BankConfig(capacity=capacity, when_full=policy))


BANK = Group(
    title=f"A full bank, {LONG} laps",
    variants=(
        Variant(name="unlimited", memory=whole(), laps=LONG, quick=True),
        *(
            Variant(name=f"{capacity} chunks, {name}", memory=_bank(capacity, policy), laps=LONG)
            for capacity in (12, 24)
            for name, policy in (("drop the oldest", "drop_oldest"), ("drop the redundant", "drop_most_redundant"))
        ),
    ),
    reference="unlimited",
    question="What may a bank forget?",
)
STORAGE = Group(
    title="Numbers of the bank",
    variants=tuple(
        Variant(name=f"{name}, {storage}", memory=worldkv(*kept, positions="rebased", bank=BankConfig(storage=storage)))
        for name, kept in {"3 whole": (3, 1.0), "6 at 0.25": (6, 0.25)}.items()
        for storage in ("model", "int8", "float8")
    ),
    reference="3 whole, model",
    question="Do eight bits a number cost fidelity?",
)

GROUPS = (
    MODES, KEEP_RATIO, BUDGET, SLOW, SCORE, COUNT, ONE_CHUNK, THREE_CHUNKS, TOLERANCE, POSITIONS, LONG_RULES, CAMERAS,
    BANK, STORAGE,
)  # fmt: skip
"""What is swept on the validation worlds."""

UNPRUNED = Variant(name="PAPER, nothing pruned", memory=worldkv(6, 1.0, "paper"))
ANCHORS = Variant(name="PAPER, anchors only", memory=worldkv(6, None, "paper"))
BACKWARDS = Variant(name="PAPER, the most similar kept", memory=worldkv(rule="paper", keep="redundant"))
FEW_WHOLE = Variant(name="PAPER's tokens, 3 whole chunks", memory=whole(3, "paper", positions="as_stored"))
OFFICIAL_TOKENS = Variant(
    name="DEFAULT, OFFICIAL's tokens",
    memory=dataclasses.replace(DEFAULT, retrieval=dataclasses.replace(DEFAULT.retrieval, chunks=4)),
)
FINAL = (
    FULL, SLIDING, SINK, PAPER_, OFFICIAL_, DEFAULT_, OFFICIAL_TOKENS, UNPRUNED, ANCHORS, BACKWARDS, FEW_WHOLE
)  # fmt: skip
"""What is measured once more on worlds that nothing was chosen on."""
