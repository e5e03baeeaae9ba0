"""Keys and values of a run of tokens, and the shape of what one model stores for a chunk."""

import dataclasses
import math
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32

from worldkv_jax.memory.untouched import zeros
from worldkv_jax.whole_numbers import make_whole


class KVSpan(NamedTuple):
    """Keys after RoPE and values of a run of tokens, for all layers."""

    keys: Float[Array, "L B tokens N H"]
    values: Float[Array, "L B tokens N H"]


@runtime_checkable
class TimeShift(Protocol):
    """Positions in keys that can be moved in time, such as `worldkv_jax.rope.Rope`; hashable."""

    @property
    def head_dim(self) -> int:
        """Numbers of one head, ``H``."""
        ...

    def shift_time(
        self, keys: Float[Array, "... tokens N H"], frames: Int32[Array, "..."]
    ) -> Float[Array, "... tokens N H"]:
        """Move keys ``[..., tokens, N, H]`` by a number of latent frames, int32 broadcastable to ``[..., tokens]``."""
        ...


_COUNTS = ("layers", "heads", "head_dim", "tokens_per_frame", "chunk_frames")


@dataclasses.dataclass(frozen=True, kw_only=True)
class KVSpec:
    """What a backbone's keys and values look like."""

    layers: int
    heads: int
    head_dim: int
    tokens_per_frame: int
    chunk_frames: int = 3
    """Latent frames that the model makes at once, and that one `remember` takes."""
    dtype: str = "float32"
    rope: TimeShift | None = None
    """Positions in the keys; needed only to re-base retrieved ones."""
    store_frames: int | None = None
    """Latent frames that are pruned, stored and found as one, a multiple of ``chunk_frames``; ``None`` for just those.
    For models that make one frame at a time; ids of stored chunks then count these."""

    def __post_init__(self):
        try:
            object.__setattr__(self, "dtype", jnp.dtype(self.dtype).name)  # equal however it was written
        except TypeError:
            raise ValueError(f"dtype={self.dtype!r} is not a type of numbers; use 'bfloat16' or 'float32'") from None
        make_whole(self, *_COUNTS, "store_frames")
        for name in _COUNTS:
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        if not jnp.issubdtype(jnp.dtype(self.dtype), jnp.floating):
            raise ValueError(f"dtype={self.dtype!r} is not a floating-point type; use 'bfloat16' or 'float32'")
        if self.stored_frames < 1 or self.stored_frames % self.chunk_frames:
            raise ValueError(f"store_frames={self.store_frames} is no multiple of chunk_frames={self.chunk_frames}")
        rope: Any = self.rope  # anybody's
        if rope is not None and not isinstance(rope, TimeShift):
            raise ValueError(f"rope={rope!r} needs head_dim and shift_time(keys, frames), see TimeShift")
        if self.rope is not None and self.rope.head_dim != self.head_dim:
            raise ValueError(
                f"rope.head_dim={self.rope.head_dim} but head_dim={self.head_dim}; give the rope of these keys"
            )

    @property
    def chunk_tokens(self) -> int:
        """Tokens of one chunk, ``T``."""
        return self.chunk_frames * self.tokens_per_frame

    @property
    def stored_frames(self) -> int:
        """Latent frames that are stored as one chunk."""
        return self.chunk_frames if self.store_frames is None else self.store_frames

    @property
    def store_every(self) -> int:
        """Chunks that the model makes for each one that is stored."""
        return self.stored_frames // self.chunk_frames

    def stored(self, chunk: jax.Array) -> jax.Array:
        """Count the stored chunks that so many chunks of the model fill; of an id, name the one that it is part of."""
        return chunk if self.store_every == 1 else chunk // self.store_every

    def shape(self, worlds: int, tokens: int) -> tuple[int, ...]:
        """Shape ``[L, B, tokens, N, H]`` of the keys, and of the values, of so many tokens."""
        return self.layers, worlds, tokens, self.heads, self.head_dim

    def bytes(self, worlds: int, tokens: int) -> int:
        """Bytes of keys and values together of so many tokens."""
        return 2 * math.prod(self.shape(worlds, tokens)) * jnp.dtype(self.dtype).itemsize

    def zeros(self, worlds: int, tokens: int) -> KVSpan:
        """Make an empty span of so many tokens."""
        shape = self.shape(worlds, tokens)
        return KVSpan(zeros(shape, self.dtype), zeros(shape, self.dtype))


def check_span(span: Any, expected: tuple[int, ...], axes: str) -> None:
    """Raise ValueError for what is no span, or one of another shape than ``expected``, whose axes are ``axes``."""
    if not isinstance(span, KVSpan):
        raise ValueError(f"own is a {type(span).__name__}, expected KVSpan(keys, values)")
    shapes = [getattr(part, "shape", type(part).__name__) for part in span]
    if shapes != [expected, expected]:
        raise ValueError(
            f"own keys {shapes[0]} and values {shapes[1]} do not fit this memory: expected {expected}, that is {axes}"
        )


def concatenate(spans: list[Any]) -> Any:
    """Join spans, or what else is known of tokens, along their tokens."""
    return jax.tree.map(lambda *parts: jnp.concatenate(parts, axis=-3), *spans)
