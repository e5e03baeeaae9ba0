"""The named configurations of WorldKV: as released, as published, and the best we can measure."""

from worldkv_jax.memory.config import BankConfig, CompressionConfig, MemoryConfig, RetrievalConfig
from worldkv_jax.memory.rules import CameraDistance, ViewCoverage
from worldkv_jax.names import check_name

OFFICIAL = MemoryConfig(
    recent_frames=3,
    retrieval=RetrievalConfig(chunks=6, rule="released", rebase_order="rank", max_shift=1023),
    compression=CompressionConfig(keep_ratio=0.5, similarity="centroid", pooled=True, at="store"),
    bank=BankConfig(when_full="error"),
    released_window=True,
)
"""The released PyTorch code with the flags of its demo, quirk for quirk (cvlab-kaist/WorldKV)."""

PAPER = MemoryConfig(
    recent_frames=3,
    retrieval=RetrievalConfig(chunks=6, rule="paper"),
    compression=CompressionConfig(keep_ratio=0.25, similarity="per_key", pooled=True),
)
"""WorldKV as published (arXiv 2605.22718): window sink 3, recent 3, current 3; six chunks at a quarter."""

DEFAULT_RULE = ViewCoverage(unit="travel", near=0.5, far=5.0, tolerance=0.1)
"""Chunks that together have seen the next view, of nearly equal ones the oldest, which drifted least."""
DISTANCE_RULE = CameraDistance(tolerance=0.05)
"""Of views that are nearly equal the oldest: for models whose depths are not known, or that add to a rule's scores."""

DEFAULT = MemoryConfig(
    sink="auto",
    recent_frames=3,
    retrieval=RetrievalConfig(chunks=3, rule=DEFAULT_RULE, positions="auto"),
    compression=CompressionConfig(keep_ratio=1.0),
    bank=BankConfig(storage="int8"),
)
"""The best by measurement (docs/evidence.md): as many attended tokens as PAPER and hardly more bytes, but three whole
chunks in eight bits instead of six pruned ones."""

PROFILES = {"OFFICIAL": OFFICIAL, "PAPER": PAPER, "DEFAULT": DEFAULT}


def profile(name: str) -> MemoryConfig:
    """Return a profile by name, in any case; change fields of it with ``dataclasses.replace``."""
    known = name.upper() in PROFILES
    return PROFILES[name.upper() if known else check_name("profile", name, PROFILES)]
