"""Static sizes of one memory: what a configuration means for a given model and length of rollout."""

import dataclasses
import functools
import math
from typing import Any

from worldkv_jax.counts import counted
from worldkv_jax.memory.config import BankConfig, CompressionConfig, MemoryConfig, RetrievalConfig
from worldkv_jax.memory.quantization import stored_bytes, stored_shape
from worldkv_jax.memory.retrieval import view_of
from worldkv_jax.memory.spans import KVSpan, KVSpec
from worldkv_jax.whole_numbers import make_whole


@dataclasses.dataclass(frozen=True, kw_only=True)
class WindowLayout:
    """The attention window, in latent frames; hashable."""

    spec: KVSpec
    worlds: int
    sink_frames: int
    """First frames, kept for ever."""
    near_frames: int
    """Recent frames that are attended whether or not chunks are retrieved."""
    far_frames: int
    """Older frames, attended until a first chunk is retrieved; released code only."""
    hides_own: bool
    """Whether retrieving chunks cuts the current chunk out of its own window; released code, short videos."""
    draft_frames: int
    """Room for the frames that wait until they are stored as one chunk; 0 where each chunk is stored at once."""
    sink_reach: int | None
    """Frames before a chunk at which the sink seems to begin at most; ``None`` leaves it where it was."""

    @property
    def ring_frames(self) -> int:
        """Frames of the rolling part of the window."""
        return self.near_frames + self.far_frames + self.draft_frames

    @property
    def step_frames(self) -> int:
        """Frames written to the window at once: the largest step that never straddles its parts."""
        return math.gcd(self.spec.chunk_frames, self.sink_frames, self.ring_frames)

    @property
    def tokens(self) -> int:
        """Tokens that the window holds."""
        return (self.sink_frames + self.ring_frames) * self.spec.tokens_per_frame

    @property
    def attended_frames(self) -> int:
        """Frames of it that a chunk attends to at most: of those that wait, the last comes with their storage."""
        return self.sink_frames + self.ring_frames - (self.spec.chunk_frames if self.draft_frames else 0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BankLayout:
    """The bank and what is retrieved from it; hashable."""

    config: BankConfig
    retrieval: RetrievalConfig
    compression: CompressionConfig
    spec: KVSpec
    worlds: int
    capacity: int
    """Chunks the bank can hold, ``C``."""
    first_stored: int
    """First chunk that is stored: one that lies wholly in the sink never needs to be."""
    first_candidate: int
    """First chunk that may be retrieved."""
    candidate_lag: int
    """A chunk may be retrieved when it is more than this many chunks old."""

    @property
    def kept_tokens(self) -> int:
        """Tokens a chunk has after pruning, ``P``."""
        return self.compression.tokens(self.spec.tokens_per_frame, self.spec.stored_frames)

    @property
    def prunes_nothing(self) -> bool:
        """Whether tokens were to be dropped, and cannot be: the one frame of a chunk is its own anchor, kept whole."""
        wanted = self.compression.keep_ratio < 1 or self.compression.keep_tokens is not None
        return wanted and self.spec.stored_frames == 1 and self.kept_tokens == self.chunk_tokens

    @property
    def stored_tokens(self) -> int:
        """Tokens of a chunk in the bank."""
        return self.kept_tokens if self.compression.at == "store" else self.chunk_tokens

    @property
    def chunk_tokens(self) -> int:
        """Tokens of a chunk before it is pruned."""
        return self.spec.stored_frames * self.spec.tokens_per_frame

    @property
    def view(self) -> Any:
        """What the rule is given of each frame, see `ViewRule.view`."""
        return view_of(self.retrieval.rule)

    @property
    def stored_chunk(self) -> KVSpan:
        """One world's chunk ``[L, P, N, H]`` as the bank stores it, as `jax.ShapeDtypeStruct`."""
        shape = (self.spec.layers, self.stored_tokens, self.spec.heads, self.spec.head_dim)
        return stored_shape(shape, self.config.storage, self.spec.dtype)

    @property
    def chunk_bytes(self) -> int:
        """Bytes of one stored chunk of every world, as the bank stores it."""
        return stored_bytes(self.spec.shape(self.worlds, self.stored_tokens), self.config.storage, self.spec.dtype)

    @property
    def rebases(self) -> bool:
        """Whether retrieved keys are moved in time."""
        positions = self.retrieval.positions
        return positions == "rebased" or (positions == "auto" and self.spec.rope is not None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
    """A configuration resolved for one model; hashable, so it is part of the jit key."""

    config: MemoryConfig
    spec: KVSpec
    worlds: int = 1
    """Worlds in the batch, ``B``."""
    chunks: int | None = None
    """Chunks of the rollout, where known; ``full`` needs it, and a bank without a capacity."""

    def __post_init__(self):
        for name, kind in (("config", MemoryConfig), ("spec", KVSpec)):
            if not isinstance(got := getattr(self, name), kind):
                raise ValueError(f"the {name} of a memory is {got!r}, expected a {kind.__name__}")
        make_whole(self, "worlds", "chunks")
        if self.worlds < 1:
            raise ValueError(f"worlds={self.worlds} must be at least 1")
        if self.chunks is not None and self.chunks < 1:
            raise ValueError(f"chunks={self.chunks} must be at least 1")
        if self.config.mode == "full" and self.chunks is None:
            raise ValueError("mode='full' keeps everything: say how long the rollout is with chunks=...")
        if self.config.sink == "moving" and self.spec.rope is None:
            raise ValueError("sink='moving' moves keys in time: the backbone's KVSpec must have its rope")
        if self.bank is not None:
            self._check_retrieval(self.bank)
            self._check_window(self.bank)
            self.bank.kept_tokens  # noqa: B018 (raises for a budget that does not fit)

    @property
    def moves_sink(self) -> bool:
        """Whether the sink's keys are moved in time."""
        can = self.spec.rope is not None and bool(self.config.sink_frames)
        return self.config.sink == "moving" or (self.config.sink == "auto" and can)

    @functools.cached_property
    def window(self) -> WindowLayout:
        """The attention window."""
        config, frames, sink = self.config, self.spec.chunk_frames, self.config.sink_frames or 0
        ring = near = config.recent_frames
        hides_own = False
        if config.mode == "full" and self.chunks is not None:
            ring = near = self.chunks * frames
        elif config.released_window and config.retrieval is not None:
            retrieved = config.retrieval.chunks * frames
            ring += retrieved
            if self.chunks is not None:
                ring = max(0, min(ring, (self.chunks - 1) * frames - sink))
                hides_own = self.chunks < self._shortest_released(config.retrieval)
            near = max(0, ring - retrieved)
        return WindowLayout(
            spec=self.spec,
            worlds=self.worlds,
            sink_frames=sink,
            near_frames=near,
            far_frames=ring - near,
            hides_own=hides_own,
            draft_frames=self.spec.stored_frames if config.bank is not None and self.spec.store_every > 1 else 0,
            sink_reach=self._past_frames(near) if self.moves_sink else None,
        )

    @functools.cached_property
    def bank(self) -> BankLayout | None:
        """The bank; ``None`` in the modes without one."""
        config, frames, sink = self.config, self.spec.stored_frames, self.config.sink_frames or 0
        if config.bank is None or config.retrieval is None or config.compression is None:  # one with the others
            return None
        first_stored = 0 if config.released_window else sink // frames
        capacity = config.bank.capacity
        if capacity is None:
            if self.chunks is None:
                raise ValueError("the bank has no size: give bank.capacity, or the rollout's length with chunks=...")
            capacity = max(1, self.chunks // self.spec.store_every - first_stored)
        candidate_lag = config.recent_frames // frames
        if config.released_window:  # counts the current chunk as one of the recent ones
            candidate_lag = max(1, (self.window.near_frames + frames) // frames)
        return BankLayout(
            config=config.bank,
            retrieval=config.retrieval,
            compression=config.compression,
            spec=self.spec,
            worlds=self.worlds,
            capacity=capacity,
            first_stored=first_stored,
            first_candidate=-(-sink // frames),
            candidate_lag=candidate_lag,
        )

    def require_bank(self) -> BankLayout:
        """Return the bank, where there must be one.

        Raises:
            ValueError: a mode without one.
        """
        if self.bank is None:
            raise ValueError(f"mode={self.config.mode!r} has no bank; use mode='worldkv'")
        return self.bank

    @property
    def context_tokens(self) -> int:
        """Capacity of the context, ``W``: what a chunk can attend to besides itself."""
        window, bank = self.window, self.bank
        if bank is None:
            return window.tokens
        size, retrieved = self.spec.tokens_per_frame, bank.retrieval.chunks * bank.kept_tokens
        if window.draft_frames:
            return window.attended_frames * size + retrieved
        return max(window.tokens, (window.sink_frames + window.near_frames) * size + retrieved)

    def _past_frames(self, near: int) -> int:
        """Count the frames of the past that a chunk attends to, retrieved chunks taken as whole ones."""
        config = self.config
        retrieved = 0 if config.retrieval is None else config.retrieval.chunks * self.spec.stored_frames
        return (config.sink_frames or 0) + near + retrieved

    def _shortest_released(self, retrieval: RetrievalConfig) -> int:
        """Count the chunks of the shortest rollout in which a chunk attends to itself in the released window."""
        return -(-(self.config.sink_frames or 0) // self.spec.chunk_frames) + retrieval.chunks + 1

    def _check_retrieval(self, bank: BankLayout) -> None:
        wanted, most = bank.retrieval.chunks, bank.capacity
        offered = None if self.chunks is None else self.chunks // self.spec.store_every - bank.first_stored
        if bank.config.when_full == "drop_oldest" and (offered is None or offered > bank.capacity):
            most -= bank.candidate_lag
            if wanted > most:
                raise ValueError(
                    f"retrieval.chunks={wanted} is more than the {counted(max(0, most), 'chunk')} that a bank of "
                    f"{bank.capacity} can offer when it drops the oldest, because its latest {bank.candidate_lag} are "
                    f"still in the window; raise bank.capacity to at least {wanted + bank.candidate_lag} or "
                    "retrieve fewer"
                )
        most = most if offered is None else min(most, max(1, offered))
        if wanted > most:
            raise ValueError(
                f"retrieval.chunks={wanted} is more than the {counted(most, 'chunk')} the bank can ever hold; use at "
                f"most {most}, a longer rollout, or mode='full'"
            )
        if bank.retrieval.positions == "rebased" and self.spec.rope is None:
            raise ValueError("positions='rebased' moves keys in time: the backbone's KVSpec must have its rope")

    def _check_window(self, bank: BankLayout) -> None:
        config, frames = self.config, self.spec.stored_frames
        if self.spec.store_every > 1 and (config.released_window or config.recent_frames < frames):
            why = "released_window=True" if config.released_window else f"recent_frames={config.recent_frames}"
            raise ValueError(
                f"store_frames={frames} waits in the window until a chunk of so many frames is there: {why} has no "
                f"place for it; use recent_frames={frames} or more, and released_window=False"
            )
        if not config.released_window:
            unit = "chunk_frames" if self.spec.store_every == 1 else "store_frames"
            for name in ("sink_frames", "recent_frames"):
                count = getattr(config, name)
                if count % frames:
                    low, high = count // frames * frames, -(-count // frames) * frames
                    raise ValueError(
                        f"{name}={count} is not a multiple of {unit}={frames}, so part of a chunk would be "
                        f"in neither window nor bank; use {low} or {high}"
                    )
        elif 0 < bank.retrieval.chunks * frames - self.window.ring_frames < frames:
            raise ValueError(
                f"in a rollout of {self.chunks} chunks the released window with sink_frames={config.sink_frames} would "
                f"hold a part of the current chunk; use a sink of whole chunks of {frames} frames, a rollout of at "
                f"least {self._shortest_released(bank.retrieval)} chunks, or released_window=False"
            )
