"""World memory: a window, a bank of pruned chunks, and the two verbs `recall` and `remember`."""

from worldkv_jax.memory.bank import Fetched
from worldkv_jax.memory.compression import compress, kept_tokens
from worldkv_jax.memory.config import BankConfig, CompressionConfig, MemoryConfig, RetrievalConfig
from worldkv_jax.memory.context import Context
from worldkv_jax.memory.index import Picks
from worldkv_jax.memory.layout import Layout
from worldkv_jax.memory.prefetching import can_prefetch, correct, pick_ahead, prefetch
from worldkv_jax.memory.profiles import DEFAULT, OFFICIAL, PAPER, PROFILES, profile
from worldkv_jax.memory.report import attended_tokens, bytes_by_tier, capacity_by_tier, format_bytes
from worldkv_jax.memory.retrieval import Rule
from worldkv_jax.memory.room import check_room, lost_chunks
from worldkv_jax.memory.rules import (
    RULES,
    AttentionScore,
    CameraDistance,
    MostRecent,
    RandomChoice,
    ViewCoverage,
    ViewOverlap,
)
from worldkv_jax.memory.spans import KVSpan, KVSpec
from worldkv_jax.memory.world_memory import WorldMemory, recall, remember, window_context

__all__ = [
    "DEFAULT",
    "OFFICIAL",
    "PAPER",
    "PROFILES",
    "RULES",
    "AttentionScore",
    "BankConfig",
    "CameraDistance",
    "CompressionConfig",
    "Context",
    "Fetched",
    "KVSpan",
    "KVSpec",
    "Layout",
    "MemoryConfig",
    "MostRecent",
    "Picks",
    "RandomChoice",
    "RetrievalConfig",
    "Rule",
    "ViewCoverage",
    "ViewOverlap",
    "WorldMemory",
    "attended_tokens",
    "bytes_by_tier",
    "can_prefetch",
    "capacity_by_tier",
    "check_room",
    "compress",
    "correct",
    "format_bytes",
    "kept_tokens",
    "lost_chunks",
    "pick_ahead",
    "prefetch",
    "profile",
    "recall",
    "remember",
    "window_context",
]
