"""Static sizes of one memory: what a configuration means for a given model and length of rollout."""

import dataclasses
import math

from worldkv_jax.memory.config import MemoryConfig
from worldkv_jax.memory.quantization import stored_bytes
from worldkv_jax.memory.spans import KVSpec


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
        config, spec = self.config, self.spec
        if self.worlds < 1:
            raise ValueError(f"worlds={self.worlds} must be at least 1")
        if self.chunks is not None and self.chunks < 1:
            raise ValueError(f"chunks={self.chunks} must be at least 1")
        if config.mode == "full" and self.chunks is None:
            raise ValueError("mode='full' keeps everything: say how long the rollout is with chunks=...")
        if config.mode != "worldkv":
            return
        if config.bank.capacity is None and self.chunks is None:
            raise ValueError("the bank has no size: give bank.capacity, or the rollout's length with chunks=...")
        self._check_retrieval()
        if config.retrieval.positions == "rebased" and spec.rope is None:
            raise ValueError("positions='rebased' moves keys in time: the backbone's KVSpec must have its rope")
        self._check_window()
        config.compression.kept(spec.tokens_per_frame, spec.chunk_frames)  # raises for a budget that cannot be

    def _check_retrieval(self) -> None:
        wanted, most = self.config.retrieval.chunks, self.most_candidates
        if wanted <= most:
            return
        if self.drops_oldest:
            raise ValueError(
                f"retrieval.chunks={wanted} is more than the {max(0, most)} chunks that a bank of {self.capacity} "
                f"can offer when it drops the oldest, because its latest {self.candidate_lag} are still in the "
                f"window; raise bank.capacity to at least {wanted + self.candidate_lag} or retrieve fewer"
            )
        raise ValueError(
            f"retrieval.chunks={wanted} is more than the {most} chunks the bank can ever hold; use at most {most}, "
            "a longer rollout, or mode='full'"
        )

    def _check_window(self) -> None:
        config, frames = self.config, self.spec.chunk_frames
        if not config.released_window:
            for name in ("sink_frames", "recent_frames"):
                count = getattr(config, name)
                if count % frames:
                    low, high = count // frames * frames, -(-count // frames) * frames
                    raise ValueError(
                        f"{name}={count} is not a multiple of chunk_frames={frames}, so part of a chunk would be "
                        f"in neither window nor bank; use {low} or {high}"
                    )
        elif 0 < config.retrieval.chunks * frames - self.ring_frames < frames:
            raise ValueError(
                f"in a rollout of {self.chunks} chunks the released window with sink_frames={config.sink_frames} would "
                f"hold a part of the current chunk; use a sink of whole chunks of {frames} frames, a rollout of at "
                f"least {self.shortest_released} chunks, or released_window=False"
            )

    # ---- window, in latent frames ----

    @property
    def sink_frames(self) -> int:
        """First frames kept for ever."""
        return self.config.sink_frames

    @property
    def near_frames(self) -> int:
        """Recent frames that are attended whether or not chunks are retrieved."""
        if self.config.mode == "full":
            return self.chunks * self.spec.chunk_frames
        if not self.config.released_window:
            return self.config.recent_frames
        return max(0, self.ring_frames - self.config.retrieval.chunks * self.spec.chunk_frames)

    @property
    def far_frames(self) -> int:
        """Older frames of the window, attended until a first chunk is retrieved; released code only."""
        return self.ring_frames - self.near_frames

    @property
    def ring_frames(self) -> int:
        """Frames of the rolling part of the window."""
        config, frames = self.config, self.spec.chunk_frames
        if not config.released_window:
            return self.near_frames
        window = config.recent_frames + config.retrieval.chunks * frames
        if self.chunks is None:
            return window
        return max(0, min(window, (self.chunks - 1) * frames - config.sink_frames))

    @property
    def shortest_released(self) -> int:
        """Chunks of the shortest rollout in which a chunk attends to itself in the released window."""
        frames = self.spec.chunk_frames
        return -(-(self.config.sink_frames + self.config.retrieval.chunks * frames + frames) // frames)

    @property
    def hides_own(self) -> bool:
        """Whether retrieving chunks cuts the current chunk out of its own window; released code, short videos."""
        return self.config.released_window and self.chunks is not None and self.chunks < self.shortest_released

    @property
    def step_frames(self) -> int:
        """Frames written to the window at once: the largest step that never straddles its parts."""
        return math.gcd(self.spec.chunk_frames, self.sink_frames, self.ring_frames)

    # ---- bank ----

    @property
    def has_bank(self) -> bool:
        """Whether evicted chunks are stored."""
        return self.config.mode == "worldkv"

    @property
    def first_stored(self) -> int:
        """First chunk that is stored: one that lies wholly in the sink never needs to be."""
        return 0 if self.config.released_window else self.sink_frames // self.spec.chunk_frames

    @property
    def first_candidate(self) -> int:
        """First chunk that may be retrieved."""
        return -(-self.sink_frames // self.spec.chunk_frames)

    @property
    def candidate_lag(self) -> int:
        """A chunk may be retrieved when it is more than this many chunks old."""
        frames = self.spec.chunk_frames
        if self.config.released_window:  # counts the current chunk as one of the recent ones
            return max(1, (self.near_frames + frames) // frames)
        return self.config.recent_frames // frames

    @property
    def capacity(self) -> int:
        """Chunks the bank can hold, ``C``."""
        if self.config.bank.capacity is not None:
            return self.config.bank.capacity
        return max(1, self.chunks - self.first_stored)

    @property
    def drops_oldest(self) -> bool:
        """Whether chunks leave the bank in the order they came."""
        if self.config.bank.when_full != "drop_oldest":
            return False
        return self.chunks is None or self.chunks - self.first_stored > self.capacity

    @property
    def most_candidates(self) -> int:
        """Most chunks that the bank can offer at once."""
        most = self.capacity
        if self.chunks is not None:
            most = min(most, max(1, self.chunks - self.first_stored))
        return most - self.candidate_lag if self.drops_oldest else most

    @property
    def kept_tokens(self) -> int:
        """Tokens a chunk has after pruning, ``P``."""
        return self.spec.tokens_per_frame + self.config.compression.kept(
            self.spec.tokens_per_frame, self.spec.chunk_frames
        )

    @property
    def stored_tokens(self) -> int:
        """Tokens of a chunk in the bank."""
        return self.kept_tokens if self.config.compression.at == "store" else self.spec.chunk_tokens

    @property
    def chunk_bytes(self) -> int:
        """Bytes of one stored chunk of every world, as the bank stores it."""
        shape = self.spec.shape(self.worlds, self.stored_tokens)
        return stored_bytes(shape, self.config.bank.storage, self.spec.dtype)

    # ---- context ----

    @property
    def rebases(self) -> bool:
        """Whether retrieved keys are moved in time."""
        positions = self.config.retrieval.positions
        return positions == "rebased" or (positions == "auto" and self.spec.rope is not None)

    @property
    def context_tokens(self) -> int:
        """Capacity of the context, ``W``: what a chunk can attend to besides itself."""
        window = self.sink_frames + self.ring_frames
        if not self.has_bank:
            return window * self.spec.tokens_per_frame
        retrieving = (self.sink_frames + self.near_frames) * self.spec.tokens_per_frame
        retrieving += self.config.retrieval.chunks * self.kept_tokens
        return max(window * self.spec.tokens_per_frame, retrieving)
