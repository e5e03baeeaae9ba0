"""Keys and values of a run of tokens, and the shape of what one model stores for a chunk."""

import dataclasses
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from worldkv_jax.rope import Rope


class KVSpan(NamedTuple):
    """Keys after RoPE and values of a run of tokens, for all layers."""

    keys: jax.Array  # [L, B, tokens, N, H]
    values: jax.Array  # [L, B, tokens, N, H]


@dataclasses.dataclass(frozen=True, kw_only=True)
class KVSpec:
    """What a backbone's keys and values look like."""

    layers: int
    heads: int
    head_dim: int
    tokens_per_frame: int
    chunk_frames: int = 3
    dtype: str = "float32"
    rope: Rope | None = None
    """Positions in the keys; needed only to re-base retrieved ones."""

    def __post_init__(self):
        for name in ("layers", "heads", "head_dim", "tokens_per_frame", "chunk_frames"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        if not jnp.issubdtype(jnp.dtype(self.dtype), jnp.floating):
            raise ValueError(f"dtype={self.dtype!r} is not a floating-point type; use 'bfloat16' or 'float32'")
        if self.rope is not None and self.rope.head_dim != self.head_dim:
            raise ValueError(
                f"rope.head_dim={self.rope.head_dim} but head_dim={self.head_dim}; give the rope of these keys"
            )

    @property
    def chunk_tokens(self) -> int:
        """Tokens of one chunk, ``T``."""
        return self.chunk_frames * self.tokens_per_frame

    def shape(self, worlds: int, tokens: int) -> tuple[int, ...]:
        """Shape ``[L, B, tokens, N, H]`` of the keys, and of the values, of so many tokens."""
        return self.layers, worlds, tokens, self.heads, self.head_dim

    def bytes(self, worlds: int, tokens: int) -> int:
        """Bytes of keys and values together of so many tokens."""
        return 2 * math.prod(self.shape(worlds, tokens)) * jnp.dtype(self.dtype).itemsize

    def zeros(self, worlds: int, tokens: int) -> KVSpan:
        """Make an empty span of so many tokens."""
        shape = self.shape(worlds, tokens)
        return KVSpan(jnp.zeros(shape, self.dtype), jnp.zeros(shape, self.dtype))


def concatenate(spans: list[KVSpan]) -> KVSpan:
    """Join spans along their tokens."""
    return jax.tree.map(lambda *parts: jnp.concatenate(parts, axis=-3), *spans)
