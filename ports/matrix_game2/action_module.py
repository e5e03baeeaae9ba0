"""The action module: what a block adds to its tokens for the mouse and the keyboard.

Both branches attend over time alone, over the few latest latent frames: the mouse branch for each position on
its own, the keyboard branch with one key and value a frame that all positions share.
(Matrix-Game 2.0 specification, section 4.)
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from ports.matrix_game2.config import MOUSE_COLUMNS, WINDOW_ROWS, MatrixGameConfig
from ports.wan.nn.block import MLP
from ports.wan.nn.layers import LayerNorm, Linear
from worldkv_jax.rope import rotate, rotation

ROTATED_PAIRS = 4
"""Channel pairs of a head that carry time; all others stay as they are."""
THETA = 256.0


class FrameKV(NamedTuple):
    """Keys (after RoPE) and values of latent frames; ``S`` is 1 where all positions share them."""

    key: jax.Array  # [B, F, S, N, H]
    value: jax.Array  # [B, F, S, N, H]


class ActionWindow(NamedTuple):
    """Keys and values of the latent frames before a chunk, the latest first, so that what is filled comes first."""

    mouse: FrameKV | None
    keyboard: FrameKV


class LayerInput(NamedTuple):
    """What one action module is given for a chunk, besides its tokens and what is the same for all of them."""

    keyboard: FrameKV  # of the chunk's own frames
    past: ActionWindow


class ActionInput(NamedTuple):
    """What all action modules are given for a chunk, besides their tokens."""

    mouse: jax.Array | None  # [B, F, 24] what each latent frame sees of the mouse
    rope: tuple[jax.Array, jax.Array]  # of `action_rotation`, for the chunk's frames
    filled: jax.Array  # int32, how many frames of the past are there
    layers: LayerInput  # with a leading layer axis


def action_rotation(frames: jax.Array, head_dim: int) -> tuple[jax.Array, jax.Array]:
    """Return cosine and sine ``[F, 1, H / 2]`` of latent frames ``[F]``, the same at all positions."""
    frequencies = np.zeros(head_dim // 2)
    frequencies[:ROTATED_PAIRS] = THETA ** (-np.arange(ROTATED_PAIRS) / ROTATED_PAIRS)
    cos, sin = rotation(frames, tuple(frequencies))
    return cos[:, None], sin[:, None]


def unit_rms(x: jax.Array, *, eps: float = 1e-6) -> jax.Array:
    """Divide by the root mean square of the last axis; the released models ignore the weights of this norm."""
    y = x.astype(jnp.float32)
    return (y * jax.lax.rsqrt(jnp.mean(y * y, axis=-1, keepdims=True) + eps)).astype(x.dtype)


def attend_over_time(query: jax.Array, own: FrameKV, past: FrameKV, filled: jax.Array) -> jax.Array:
    """Attend each position to its own past and to all frames of the chunk.

    Args:
        query: ``[B, F, S, N, H]``.
        own: of the chunk.
        past: of earlier frames.
        filled: int32, how many frames of ``past`` are there; they come first.

    Returns:
        ``[B, F, S, N, H]``.
    """
    key, value = (jnp.concatenate(pair, axis=1).astype(jnp.float32) for pair in zip(own, past))
    visible = jnp.arange(key.shape[1], dtype=jnp.int32) < own.key.shape[1] + filled
    # Thousands of softmaxes over half a dozen frames: sums that XLA fuses are faster than tiny matrix products.
    query_ = query[:, :, None].astype(jnp.float32) * query.shape[-1] ** -0.5
    logits = jnp.sum(query_ * key[:, None], axis=-1, keepdims=True)
    weights = jax.nn.softmax(jnp.where(visible[None, None, :, None, None, None], logits, -jnp.inf), axis=2)
    return jnp.sum(weights * value[:, None], axis=2).astype(query.dtype)


class UnusedNorms(nnx.Module):
    """Weights that every released checkpoint has and no released model applies; kept for the way back."""

    def __init__(self, dim: int):
        self.q, self.k = nnx.Param(jnp.ones(dim)), nnx.Param(jnp.ones(dim))


class MouseBranch(nnx.Module):
    """Tokens and mouse mixed, then attention over time at each position."""

    def __init__(self, config: MatrixGameConfig, *, rngs: nnx.Rngs):
        width = config.action_dim
        self.mlp = MLP(config.dim + WINDOW_ROWS * MOUSE_COLUMNS, width, width, activation=jax.nn.gelu, rngs=rngs)
        self.norm = LayerNorm(width, eps=1e-5)
        self.qkv = Linear(width, 3 * width, bias=False, rngs=rngs)
        self.o = Linear(width, config.dim, scale=0.5, bias=False, rngs=rngs)
        self.unused_norms = UnusedNorms(config.action_head_dim)
        self.heads = config.action_heads

    def __call__(self, x: jax.Array, rows: jax.Array, past: FrameKV, rope, filled) -> tuple[jax.Array, FrameKV]:
        """Return what is added to the tokens ``x [B, F, S, d]``, and their keys and values.

        ``rows [B, F, 24]`` are those of the mouse that each latent frame sees.
        """
        rows = jnp.broadcast_to(rows[:, :, None].astype(x.dtype), (*x.shape[:3], rows.shape[-1]))
        mixed = self.norm(self.mlp(jnp.concatenate([x, rows], axis=-1)))
        qkv = self.qkv(mixed).reshape(*x.shape[:3], 3, self.heads, -1)
        query, key, value = (qkv[..., part, :, :] for part in range(3))
        own = FrameKV(rotate(unit_rms(key), *rope), value)
        attended = attend_over_time(rotate(unit_rms(query), *rope), own, past, filled)
        return self.o(attended.reshape(mixed.shape)), own


class KeyboardBranch(nnx.Module):
    """Attention of the tokens to the keys that were pressed, frame by frame."""

    def __init__(self, config: MatrixGameConfig, *, rngs: nnx.Rngs):
        width, embedded = config.action_dim, config.keyboard_dim
        self.embed = MLP(config.keyboard_columns, embedded, embedded, rngs=rngs)
        self.kv = Linear(WINDOW_ROWS * embedded, 2 * width, bias=False, rngs=rngs)
        self.q = Linear(config.dim, width, bias=False, rngs=rngs)
        self.o = Linear(width, config.dim, scale=0.5, bias=False, rngs=rngs)
        self.unused_norms = UnusedNorms(config.action_head_dim)
        self.heads = config.action_heads

    def project(self, rows: jax.Array, rope) -> FrameKV:
        """Turn rows of keys ``[B, F, 12, K]`` into one key and value a frame; constant over a chunk's passes."""
        embedded = self.embed(rows)
        kv = self.kv(embedded.reshape(*rows.shape[:2], -1)).reshape(*rows.shape[:2], 1, 2, self.heads, -1)
        return FrameKV(rotate(unit_rms(kv[..., 0, :, :]), *rope), kv[..., 1, :, :])

    def __call__(self, x: jax.Array, own: FrameKV, past: FrameKV, rope, filled) -> jax.Array:
        """Return what is added to the tokens ``x [B, F, S, d]``."""
        query = rotate(unit_rms(self.q(x).reshape(*x.shape[:3], self.heads, -1)), *rope)
        return self.o(attend_over_time(query, own, past, filled).reshape(*x.shape[:3], -1))


class ActionModule(nnx.Module):
    """The mouse branch, where there is a mouse, then the keyboard branch; both add to the residual stream."""

    def __init__(self, config: MatrixGameConfig, *, rngs: nnx.Rngs):
        self.mouse = MouseBranch(config, rngs=rngs) if config.mouse else None
        self.keyboard = KeyboardBranch(config, rngs=rngs)
        self.dtype = jnp.dtype(config.dtype)

    def __call__(self, x: jax.Array, given: ActionInput, layer: LayerInput) -> tuple[jax.Array, FrameKV | None]:
        """Apply both branches to the residual stream.

        Args:
            x: float32 ``[B, T, d]``, not normalised.
            given: the chunk's actions; its ``layers`` are not read.
            layer: what belongs to this module alone.

        Returns:
            The new ``x``, and the mouse branch's keys and values of the chunk.
        """
        own, past, rest = None, layer.past, (given.rope, given.filled)
        y = x.reshape(x.shape[0], layer.keyboard.key.shape[1], -1, x.shape[-1])
        if self.mouse is not None:
            assert given.mouse is not None and past.mouse is not None, "a model with a mouse is given one"
            change, own = self.mouse(y.astype(self.dtype), given.mouse, past.mouse, *rest)
            y = y + change.astype(jnp.float32)
        change = self.keyboard(y.astype(self.dtype), layer.keyboard, past.keyboard, *rest)
        return (y + change.astype(jnp.float32)).reshape(x.shape), own


def empty_window(config: MatrixGameConfig, worlds: int, tokens_per_frame: int) -> ActionWindow:
    """Make the window of all action modules before the first chunk: ``[A, B, F, S, N, H]``."""

    def zeros(positions):
        shape = (config.action_layers, worlds, config.recent_frames, positions)
        return jnp.zeros((*shape, config.action_heads, config.action_head_dim), config.dtype)

    def make(positions):
        return FrameKV(zeros(positions), zeros(positions))

    return ActionWindow(make(tokens_per_frame) if config.mouse else None, make(1))


def push(window: ActionWindow, own: ActionWindow) -> ActionWindow:
    """Put a finished chunk's frames ``[A, B, F, S, N, H]`` before those of the window, and drop the oldest."""

    def latest(past, own):
        return jnp.concatenate([own[:, :, ::-1], past], axis=2)[:, :, : past.shape[2]]

    return jax.tree.map(latest, window, own)
