"""World memory: a window, a bank of pruned chunks, and the two verbs `recall` and `remember`."""

from worldkv_jax.memory.attending import Past, attend, empty_buffer
from worldkv_jax.memory.checking import check_rule
from worldkv_jax.memory.compression_rule import CompressionRule
from worldkv_jax.memory.config import BankConfig, CompressionConfig, MemoryConfig, RetrievalConfig
from worldkv_jax.memory.context import Context
from worldkv_jax.memory.exporting import register
from worldkv_jax.memory.index import Picks
from worldkv_jax.memory.meshes import shardings
from worldkv_jax.memory.profiles import DEFAULT, OFFICIAL, PAPER, profile
from worldkv_jax.memory.retrieval import Rule
from worldkv_jax.memory.room import check_room
from worldkv_jax.memory.rules import RULES, AttentionScore, CameraDistance, ViewCoverage, ViewOverlap
from worldkv_jax.memory.spans import KVSpan, KVSpec, TimeShift
from worldkv_jax.memory.world_memory import WorldMemory, recall, remember, reset, select

__all__ = [
    "DEFAULT",
    "OFFICIAL",
    "PAPER",
    "RULES",
    "AttentionScore",
    "BankConfig",
    "CameraDistance",
    "CompressionConfig",
    "CompressionRule",
    "Context",
    "KVSpan",
    "KVSpec",
    "MemoryConfig",
    "Past",
    "Picks",
    "RetrievalConfig",
    "Rule",
    "TimeShift",
    "ViewCoverage",
    "ViewOverlap",
    "WorldMemory",
    "attend",
    "check_room",
    "check_rule",
    "empty_buffer",
    "profile",
    "recall",
    "remember",
    "reset",
    "select",
    "shardings",
]

register()
