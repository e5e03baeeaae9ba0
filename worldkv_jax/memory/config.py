"""What a memory keeps, finds and drops: one validated configuration for all modes."""

import dataclasses
import math
import numbers
from typing import Literal, NamedTuple

from kernels_pallas.dispatch import FILES
from worldkv_jax.memory.compression_rule import CompressionRule, needs_scores
from worldkv_jax.memory.quantization import STORAGES, Storage
from worldkv_jax.memory.rule_arrays import carries_arrays, structure_of
from worldkv_jax.memory.rules import RuleOrName, check_methods
from worldkv_jax.names import check_name
from worldkv_jax.whole_numbers import make_whole

WhenFull = Literal["error", "drop_oldest", "drop_most_redundant"]
Positions = Literal["as_stored", "rebased", "auto"]
Mode = Literal["full", "sliding", "sink_recent", "worldkv"]
Tier = Literal["device", "device_slots", "pinned_host", "host"]
TIERS: tuple[Tier, ...] = ("device", "device_slots", "pinned_host", "host")


@dataclasses.dataclass(frozen=True, kw_only=True)
class CompressionConfig:
    """World Compression: keep a chunk's anchor frame whole and prune the tokens that resemble it."""

    keep_ratio: float = 0.25
    """Share of each non-anchor frame's tokens that stays, rounded up to whole tokens; 1 prunes nothing."""
    keep_tokens: int | None = None
    """Token budget of a whole chunk, anchor included; replaces ``keep_ratio``."""
    similarity: Literal["centroid", "per_key"] = "per_key"
    """Cosine to the anchor's mean key (released code), or mean of the cosines to its keys (paper)."""
    pooled: bool = True
    """Choose over all non-anchor frames together; otherwise the same number from each."""
    at: Literal["store", "retrieval"] = "store"
    """Prune once when a chunk is stored, or every time it is retrieved (the bank then holds whole chunks)."""
    rotate_anchor: bool = False
    """At retrieval, let the anchor frame be the rank of the retrieved chunk, modulo its frames."""
    keep: Literal["novel", "redundant", "random"] = "novel"
    """Keep the tokens least like the anchor. ``redundant`` is the wrong way round and ``random`` takes any, to
    measure against."""
    rule: CompressionRule | None = None
    """Keep the tokens that a rule of your own scores highest, as many as the budget says, from all frames: it replaces
    the anchor, ``similarity``, ``pooled`` and ``keep``."""
    axis_name: str | None = None
    """Axis of the mesh that heads are split over, inside `jax.shard_map` alone: similarities are then summed over it,
    and every device keeps the same tokens."""
    kernels: tuple[str, ...] | None = None
    """Versions of the pruning kernels in order of preference, such as ``("mosaic_gpu", "xla")``; ``None`` for
    the default, see `kernels_pallas`."""

    def __post_init__(self):
        make_whole(self, "keep_tokens")
        if not isinstance(self.keep_ratio, numbers.Real) or not 0 < self.keep_ratio <= 1:
            raise ValueError(f"keep_ratio={self.keep_ratio!r} is outside (0, 1]; 1 keeps everything")
        check_name("similarity", self.similarity, ("centroid", "per_key"))
        check_name("moment of compression", self.at, ("store", "retrieval"))
        check_name("kept tokens", self.keep, ("novel", "redundant", "random"))
        if self.kernels is not None:
            names = (self.kernels,) if isinstance(self.kernels, str) else tuple(self.kernels)
            for name in names:
                check_name("version of the kernels", name, FILES)
            object.__setattr__(self, "kernels", names)
        if self.rotate_anchor and self.at == "store":
            raise ValueError("rotate_anchor needs at='retrieval': a stored chunk has no rank yet")
        if self.rule is not None:
            self._check_rule(self.rule)

    def _check_rule(self, rule: CompressionRule) -> None:
        check_methods("compression.rule", rule, ("score",), "give a frozen dataclass with a method score")
        object.__setattr__(self, "rule", structure_of(rule))
        if self.at == "retrieval" and (needs_scores(rule) or carries_arrays(self.rule)):
            raise ValueError("scores and arrays are given when a chunk is remembered: this rule needs at='store'")
        if self.rotate_anchor:
            raise ValueError("rotate_anchor concerns the anchor, and a compression.rule of your own has none")

    def tokens(self, tokens_per_frame: int, chunk_frames: int) -> int:
        """Return how many tokens of a chunk stay, ``P``.

        Raises:
            ValueError: a budget that does not fit the chunk.
        """
        if self.rule is None or self.keep_tokens is None:
            return tokens_per_frame + self.kept(tokens_per_frame, chunk_frames)
        if not 1 <= self.keep_tokens <= chunk_frames * tokens_per_frame:
            raise ValueError(
                f"keep_tokens={self.keep_tokens} does not fit a chunk of {chunk_frames} frames of {tokens_per_frame} "
                f"tokens; give 1 to {chunk_frames * tokens_per_frame}"
            )
        return self.keep_tokens

    def kept(self, tokens_per_frame: int, chunk_frames: int) -> int:
        """Return how many non-anchor tokens of a chunk stay."""
        others = (chunk_frames - 1) * tokens_per_frame
        if self.keep_tokens is None:
            return (chunk_frames - 1) * keep_per_frame(self.keep_ratio, tokens_per_frame)
        kept = self.keep_tokens - tokens_per_frame
        if not 0 <= kept <= others:
            raise ValueError(
                f"keep_tokens={self.keep_tokens} does not fit a chunk of {chunk_frames} frames of "
                f"{tokens_per_frame} tokens; give {tokens_per_frame} (the anchor alone) to "
                f"{tokens_per_frame + others} (everything)"
            )
        if not self.pooled and chunk_frames > 1 and kept % (chunk_frames - 1):
            raise ValueError(
                f"keep_tokens={self.keep_tokens} leaves {kept} tokens for {chunk_frames - 1} non-anchor frames, "
                "which do not divide evenly; use pooled=True or another budget"
            )
        return kept


def keep_per_frame(ratio: float, tokens_per_frame: int) -> int:
    """Return ``max(1, ceil(ratio * tokens))`` in double precision, at most all (WorldKV released code)."""
    return min(tokens_per_frame, max(1, math.ceil(ratio * tokens_per_frame)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class RetrievalConfig:
    """World Retrieval: which stored chunks come back for the next camera, and where they seem to stand."""

    chunks: int = 6
    """Chunks brought back at most, ``K``."""
    rule: RuleOrName = RuleOrName("camera")  # noqa: RUF009 (a descriptor; each config has its own rule)
    """How near a stored chunk is: ``camera``, ``paper``, ``released``, ``overlap``, ``coverage``, ``attention``, the
    controls ``random`` and ``recent``, or a rule of your own."""
    positions: Positions = "as_stored"
    """Time positions of retrieved keys: as stored, or moved to lie right before the recent frames; ``auto`` moves them
    if the model says how its keys are rotated (`KVSpec.rope`)."""
    rebase_order: Literal["time", "rank"] = "time"
    """Order of re-based chunks: oldest first, or nearest first (released code)."""
    max_shift: int | None = None
    """Largest re-basing in frames; the released code cannot move further than 1023."""

    def __post_init__(self):
        make_whole(self, "chunks", "max_shift", prefix="retrieval.")
        if self.chunks < 1:
            raise ValueError(
                f"retrieval.chunks={self.chunks} must be at least 1; to retrieve nothing use mode='sink_recent'"
            )
        check_name("positions of retrieved keys", self.positions, ("as_stored", "rebased", "auto"))
        check_name("order of re-based chunks", self.rebase_order, ("time", "rank"))
        if self.max_shift is not None and self.max_shift < 0:
            raise ValueError(f"max_shift={self.max_shift} must not be negative; None sets no limit")


@dataclasses.dataclass(frozen=True, kw_only=True)
class BankConfig:
    """Where evicted chunks live, and what happens when there is no room."""

    capacity: int | None = None
    """Chunks it holds, ``C``; ``None`` for as many as the rollout has."""
    tier: Tier = "device"
    """Memory that holds the chunks; the index is always on the device. ``device`` is one array, which jit writes in
    place; in all others chunks are arrays of their own, which forks share."""
    storage: Storage = "model"
    """What keys and values are stored in: the model's dtype, or ``int8`` or ``float8`` with a scale for each head
    of each token. Half the bytes of bfloat16, in every tier and on the way between them. ``bits`` is the model's dtype
    as bit patterns: no gradient passes them, but a CPU, which goes through all of a bfloat16 bank to write one chunk,
    then writes just the chunk."""
    when_full: WhenFull = "error"
    """``drop_most_redundant`` drops the younger of the two chunks whose views are nearest to each other, on
    average over the worlds of a batch: they share the bank's slots."""

    @property
    def on_device(self) -> bool:
        """Whether the chunks lie in the device's own memory."""
        return self.tier in ("device", "device_slots")

    def __post_init__(self):
        make_whole(self, "capacity", prefix="bank.")
        check_name("bank tier", self.tier, TIERS)
        check_name("storage of the bank", self.storage, STORAGES)
        check_name("rule for a full bank", self.when_full, ("error", "drop_oldest", "drop_most_redundant"))
        if self.capacity is not None and self.capacity < 1:
            raise ValueError(f"bank.capacity={self.capacity} must be at least 1 chunk")


class Parts(NamedTuple):
    """What a memory that retrieves has besides a window."""

    retrieval: RetrievalConfig
    compression: CompressionConfig
    bank: BankConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class MemoryConfig:
    """One memory: which past a chunk attends to, and what is kept for later.

    ``full`` keeps everything, ``sliding`` the last frames, ``sink_recent`` the first and the last, and
    ``worldkv`` adds to those the stored chunks that look where the camera looks now.
    """

    mode: Mode = "worldkv"
    sink_frames: int | None = None
    """First latent frames, kept for ever; ``None`` for 3, or 0 where the mode has no sink."""
    sink: Literal["anchored", "moving", "auto"] = "anchored"
    """Where the sink seems to stand: at the beginning for ever, or never farther back than the past it is attended
    with is long. A model of short clips has not seen the former (WorldTrace, arXiv 2608.07408; Infinity-RoPE, arXiv
    2511.20649); moved keys need `KVSpec.rope`. ``auto`` moves it where there is one and its keys can be moved."""
    recent_frames: int = 3
    """Latent frames kept before the current chunk (which is not counted). ``full`` ignores it."""
    retrieval: RetrievalConfig | None = None
    compression: CompressionConfig | None = None
    bank: BankConfig | None = None
    released_window: bool = False
    """Reproduce the window of the released code: all frames of the window's size until a first chunk is
    retrieved, then sink and ``recent_frames``; a chunk may be retrieved one chunk after it left the window."""

    def __post_init__(self):
        check_name("memory mode", self.mode, ("full", "sliding", "sink_recent", "worldkv"))
        check_name("position of the sink", self.sink, ("anchored", "moving", "auto"))
        make_whole(self, "sink_frames", "recent_frames")
        has_sink = self.mode in ("sink_recent", "worldkv")
        sink = self.sink_frames
        if sink is None:
            sink = 3 if has_sink else 0
            object.__setattr__(self, "sink_frames", sink)
        if sink < 0 or self.recent_frames < 0:
            raise ValueError(f"sink_frames={sink} and recent_frames={self.recent_frames} must not be negative")
        if sink and not has_sink:
            raise ValueError(f"mode={self.mode!r} has no sink, got sink_frames={sink}; use mode='sink_recent'")
        if self.sink == "moving" and not sink:
            raise ValueError(f"sink='moving' moves the first frames, got mode={self.mode!r} with sink_frames={sink}")
        parts = {"retrieval": RetrievalConfig, "compression": CompressionConfig, "bank": BankConfig}
        for name, part in parts.items():
            if self.mode == "worldkv" and getattr(self, name) is None:
                object.__setattr__(self, name, part())
            elif self.mode != "worldkv" and getattr(self, name) is not None:
                raise ValueError(f"mode={self.mode!r} has no {name}; use mode='worldkv' or leave {name} out")
            elif self.mode == "worldkv" and not isinstance(getattr(self, name), part):
                raise ValueError(f"{name}={getattr(self, name)!r} is no {part.__name__}; give one")
        if self.released_window and self.mode != "worldkv":
            raise ValueError(f"released_window concerns mode='worldkv', got mode={self.mode!r}")

    @property
    def parts(self) -> "Parts":
        """What ``worldkv`` has besides a window.

        Raises:
            ValueError: another mode.
        """
        if self.retrieval is None or self.compression is None or self.bank is None:
            raise ValueError(f"mode={self.mode!r} has no retrieval, compression and bank; use mode='worldkv'")
        return Parts(self.retrieval, self.compression, self.bank)

    def fitted(self, chunks: int, *, chunk_frames: int = 3) -> "MemoryConfig":
        """Return the memory that retrieves no more chunks than a rollout can have in its bank, and at least one.

        A memory that wants more is refused when it is made. The bank never holds chunks that lie wholly in the sink,
        nor more than its capacity; one that drops the oldest has its latest ones in the window as well.

        Args:
            chunks: that the rollout remembers: its length, less the backbone's lag.
            chunk_frames: latent frames of the model's chunks.
        """
        if self.retrieval is None or self.bank is None:
            return self
        most = max(1, chunks if self.released_window else chunks - (self.sink_frames or 0) // chunk_frames)
        if self.bank.capacity is not None and self.bank.capacity < most:
            most = self.bank.capacity
            if self.bank.when_full == "drop_oldest":
                most -= self.recent_frames // chunk_frames + self.released_window
        fitting = max(1, min(self.retrieval.chunks, most))
        return dataclasses.replace(self, retrieval=dataclasses.replace(self.retrieval, chunks=fitting))
