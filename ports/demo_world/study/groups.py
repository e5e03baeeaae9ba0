"""The groups of `worldkv study`: memories that differ in one thing."""

import dataclasses

from ports.demo_world.scenario import CREEPING_LAP, SLOW_LAP
from ports.demo_world.study.variants import COVERAGE, LONG, OLDEST, OVERLAP, Group, Variant, whole, worldkv
from worldkv_jax.memory import DEFAULT, OFFICIAL, PAPER, BankConfig, CameraDistance, MemoryConfig
from worldkv_jax.memory.config import WhenFull

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
_PACES = {"5 degrees": SLOW_LAP, "2.5 degrees": CREEPING_LAP}
PACE = Group(
    title="The oldest of equals, for slower cameras",
    variants=tuple(
        Variant(name=f"{name}, {pace} a frame", memory=whole(count, rule), lap=lap)
        for pace, lap in _PACES.items()
        for count, rule, name in (
            (3, "camera", "3 nearest"),
            (3, OLDEST, "3, the oldest of equals"),
            (1, OLDEST, "1, the oldest of equals"),
        )
    ),
    reference="3 nearest, 2.5 degrees a frame",
    question="More of what a slow camera sees counts as equal. Is the oldest of it still the one to take?",
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


_POLICIES: tuple[tuple[str, WhenFull], ...] = (
    ("drop the oldest", "drop_oldest"),
    ("drop the redundant", "drop_most_redundant"),
)


def _bank(capacity: int, policy: WhenFull) -> MemoryConfig:
    return whole(bank=BankConfig(capacity=capacity, when_full=policy))


BANK = Group(
    title=f"A full bank, {LONG} laps",
    variants=(
        Variant(name="unlimited", memory=whole(), laps=LONG, quick=True),
        *(
            Variant(name=f"{capacity} chunks, {name}", memory=_bank(capacity, policy), laps=LONG)
            for capacity in (12, 24)
            for name, policy in _POLICIES
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

SPEED = Group(
    title="Fewer passes, and weights in eight bits",
    variants=(
        DEFAULT_,
        Variant(name="last pass remembered", memory=DEFAULT, commit="last_pass", quick=True),
        Variant(name="2 steps", memory=DEFAULT, steps=2),
        Variant(name="2 steps, last pass remembered", memory=DEFAULT, steps=2, commit="last_pass"),
        Variant(name="1 step", memory=DEFAULT, steps=1),
        Variant(name="int8 weights", memory=DEFAULT, weights="int8", quick=True),
        Variant(name="fp8 weights", memory=DEFAULT, weights="fp8"),
    ),
    reference="DEFAULT",
    question="What do faster models cost in remembering?",
)

GROUPS = (
    MODES, KEEP_RATIO, BUDGET, SLOW, SCORE, COUNT, ONE_CHUNK, THREE_CHUNKS, TOLERANCE, PACE, POSITIONS, LONG_RULES,
    CAMERAS, BANK, STORAGE, SPEED,
)  # fmt: skip
"""What is swept on the validation worlds."""

UNPRUNED = Variant(name="PAPER, nothing pruned", memory=worldkv(6, 1.0, "paper"))
ANCHORS = Variant(name="PAPER, anchors only", memory=worldkv(6, None, "paper"))
BACKWARDS = Variant(name="PAPER, the most similar kept", memory=worldkv(rule="paper", keep="redundant"))
FEW_WHOLE = Variant(name="PAPER's tokens, 3 whole chunks", memory=whole(3, "paper", positions="as_stored"))
OFFICIAL_TOKENS = Variant(
    name="DEFAULT, OFFICIAL's tokens",
    memory=dataclasses.replace(DEFAULT, retrieval=dataclasses.replace(DEFAULT.parts.retrieval, chunks=4)),
)
FINAL = (
    FULL, SLIDING, SINK, PAPER_, OFFICIAL_, DEFAULT_, OFFICIAL_TOKENS, UNPRUNED, ANCHORS, BACKWARDS, FEW_WHOLE
)  # fmt: skip
"""What is measured once more on worlds that nothing was chosen on."""
