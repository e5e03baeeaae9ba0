"""Three-axis rotary positions of Wan-style video transformers, for models and for stored keys.

Frame positions may grow without bound and stay traced: an angle is never looked up in a table of limited
length nor computed as a large float32 product. A position is split into base-256 digits, each digit's
rotation comes from a float64 host table, and the three rotations are multiplied.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

_BASE = 256
_DIGITS = 3  # positions below 256**3, about 97 days of video at 2 latent frames a second


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rope:
    """Rotary embedding of one attention head over (time, height, width).

    The head's channel pairs ``(2j, 2j + 1)`` are laid out ``[time | height | width]``
    (Wan 2.1; LingBot-World specification, RoPE).
    """

    head_dim: int
    theta: float = 10000.0

    def __post_init__(self):
        if self.head_dim % 2 or self.head_dim < 6:
            raise ValueError(f"head_dim={self.head_dim} must be even and at least 6: a pair for each axis")

    @property
    def pairs(self) -> tuple[int, int, int]:
        """Channel pairs that carry time, height and width."""
        half = self.head_dim // 2
        third = half // 3
        return half - 2 * third, third, third

    def frequencies(self, axis: int) -> np.ndarray:
        """Return the radians per position of one axis (0 time, 1 height, 2 width), float64 ``[pairs]``."""
        n = self.pairs[axis]
        return self.theta ** (-np.arange(n, dtype=np.float64) / n)

    def time(self, frames: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return cosine and sine of the time axis, float32 ``[..., pairs_time]``.

        Args:
            frames: int32 ``[...]`` latent-frame positions or differences, ``|frames| < 2**24``.
        """
        return rotation(frames, tuple(self.frequencies(0)))

    def grid(self, frames: jax.Array, height: int, width: int) -> tuple[jax.Array, jax.Array]:
        """Return cosine and sine for whole frames of tokens, float32 ``[..., F * height * width, pairs]``.

        Args:
            frames: int32 ``[..., F]`` latent-frame positions; tokens are ordered frame, row, column.
        """
        cos_t, sin_t = self.time(frames)
        rows = np.arange(height)[:, None] * self.frequencies(1)
        cols = np.arange(width)[:, None] * self.frequencies(2)
        space = np.concatenate([np.repeat(rows, width, axis=0), np.tile(cols, (height, 1))], axis=-1)

        def merge(time, space):
            lead = time.shape[:-1]
            time = jnp.broadcast_to(time[..., None, :], (*lead, height * width, time.shape[-1]))
            space = jnp.broadcast_to(jnp.asarray(space, jnp.float32), (*lead, *space.shape))
            both = jnp.concatenate([time, space], axis=-1)
            return both.reshape(*lead[:-1], lead[-1] * height * width, both.shape[-1])

        return merge(cos_t, np.cos(space)), merge(sin_t, np.sin(space))

    def shift_time(self, keys: jax.Array, frames: jax.Array) -> jax.Array:
        """Move already rotated keys by a number of latent frames.

        Args:
            keys: ``[..., tokens, N, H]`` keys after RoPE.
            frames: int32, broadcastable to ``[..., tokens]``.

        Returns:
            Keys as if their tokens stood ``frames`` later; the rotation is done in float32.
        """
        n = 2 * self.pairs[0]
        return jnp.concatenate([rotate(keys[..., :n], *self.time(frames)), keys[..., n:]], axis=-1)


def rotate(x: jax.Array, cos: jax.Array, sin: jax.Array) -> jax.Array:
    """Rotate the channel pairs of ``x [..., T, N, H]`` by the angles of ``cos, sin [..., T, H / 2]``."""
    cos, sin = (table.reshape(*[1] * (x.ndim - table.ndim - 1), *table.shape)[..., None, :] for table in (cos, sin))
    a, b = jnp.moveaxis(x.astype(jnp.float32).reshape(*x.shape[:-1], -1, 2), -1, 0)
    return jnp.stack([a * cos - b * sin, a * sin + b * cos], axis=-1).reshape(x.shape).astype(x.dtype)


def rotation(positions: jax.Array, frequencies: tuple[float, ...]) -> tuple[jax.Array, jax.Array]:
    """Return cosine and sine of ``position * frequency``, float32 ``[..., n]``, as exact as from float64.

    Args:
        positions: int32 ``[...]``, ``|position| < 2**24``.
        frequencies: ``n`` radians per position.
    """
    cos_table, sin_table = map(jnp.asarray, _digit_tables(frequencies))
    positions = jnp.asarray(positions, jnp.int32)
    rest = jnp.abs(positions)
    cos, sin = jnp.ones((), jnp.float32), jnp.zeros((), jnp.float32)
    for digit in range(_DIGITS):
        c, s = cos_table[digit][rest % _BASE], sin_table[digit][rest % _BASE]
        cos, sin = cos * c - sin * s, sin * c + cos * s
        rest = rest // _BASE
    return cos, jnp.sign(positions).astype(jnp.float32)[..., None] * sin


@functools.lru_cache(maxsize=32)
def _digit_tables(frequencies: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Rotations of every value of every base-256 digit, float32 ``[digits, 256, n]`` from float64."""
    places = _BASE ** np.arange(_DIGITS, dtype=np.float64)
    angle = places[:, None, None] * np.arange(_BASE)[:, None] * np.asarray(frequencies)
    return np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
