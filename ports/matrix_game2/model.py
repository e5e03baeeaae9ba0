"""The diffusion transformer of Matrix-Game 2.0: Wan 2.1 with an image for a prompt and actions in its first blocks."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from ports.matrix_game2.action_module import (
    ActionInput,
    ActionModule,
    ActionWindow,
    FrameKV,
    LayerInput,
    action_rotation,
)
from ports.matrix_game2.config import MatrixGameConfig
from ports.wan.latents import CHUNK_FRAMES
from ports.wan.nn.block import MLP, QKV, Conditions
from ports.wan.nn.dit import WanDiT
from ports.wan.nn.layers import LayerNorm
from ports.wan.nn.parameters import stack_layers
from ports.wan.nn.patches import patchify, unpatchify
from ports.wan.nn.stack import map_layers, run_blocks


class ImageEmbedding(nnx.Module):
    """CLIP's tokens of the first image to features that cross-attention reads."""

    def __init__(self, config: MatrixGameConfig, *, rngs: nnx.Rngs):
        self.norm_in = LayerNorm(config.image_dim, eps=1e-5)
        self.mlp = MLP(config.image_dim, config.image_dim, config.dim, activation=_gelu, rngs=rngs)
        self.norm_out = LayerNorm(config.dim, eps=1e-5)

    def __call__(self, tokens: jax.Array) -> jax.Array:
        """Embed ``[B, n, image_dim]`` as ``[B, n, d]``."""
        return self.norm_out(self.mlp(self.norm_in(tokens)))


class MatrixGameDiT(WanDiT):
    """Flow of noisy latents given their diffusion time, image, actions and the visible past.

    Matrix-Game 2.0 specification, section 3.
    """

    def __init__(self, config: MatrixGameConfig, *, rngs: nnx.Rngs):
        super().__init__(config, embed_context=lambda rngs: ImageEmbedding(config, rngs=rngs), rngs=rngs)
        self.actions = stack_layers(lambda rngs: ActionModule(config, rngs=rngs), config.action_layers, rngs)
        self.config = config

    def prepare_actions(
        self, keyboard: jax.Array, mouse: jax.Array | None, past: ActionWindow, position: jax.Array
    ) -> ActionInput:
        """Compute what the actions contribute to all passes of a chunk.

        Args:
            keyboard: ``[B, F, 12, K]`` the rows of keys that each latent frame sees.
            mouse: ``[B, F, 12, 2]`` those of the mouse.
            past: keys and values of the frames before, ``[A, B, F, S, N, H]``.
            position: int32, the chunk's id.
        """
        frames = position * CHUNK_FRAMES + jnp.arange(CHUNK_FRAMES, dtype=jnp.int32)
        rope = action_rotation(frames, self.config.action_head_dim)
        own = map_layers(
            lambda branch, rows: branch.project(rows, rope), self.actions.keyboard, keyboard.astype(self.dtype)
        )
        if mouse is not None:
            mouse = mouse.reshape(*mouse.shape[:2], -1)
        filled = jnp.minimum(frames[0], self.config.recent_frames)
        return ActionInput(mouse, rope, filled, LayerInput(own, past))

    def __call__(
        self,
        cells: jax.Array,
        t: jax.Array,
        rope: tuple[jax.Array, jax.Array],
        conditions: Conditions,
        *,
        actions: ActionInput,
        collect: Callable[[QKV], Any] | None = None,
        **options: Any,
    ) -> tuple[jax.Array, Any, FrameKV | None]:
        """Predict the flow (noise minus clean) of every latent cell.

        Args:
            cells: ``[B, F, rows, columns, 36]`` noisy latents, mask and image latents.
            t: ``[B, G]`` diffusion time of each of ``G`` equal groups of frames, 0 to 1000.
            rope: cosine and sine ``[T, H / 2]``.
            conditions: every block's keys and values of the image, of `project_context`.
            actions: of `prepare_actions`.
            collect: what to gather of every layer's `QKV`; a denoising pass gathers nothing.
            options: of `run_blocks`, such as ``context``.

        Returns:
            Flow float32 ``[B, F, rows, columns, 16]``; what ``collect`` gathered, stacked over layers; and, if it did,
            the mouse branches' keys and values ``[A, B, F, S, N, H]`` (``None`` without a mouse).
        """
        embedding, time_rows = self.time_embedding(t)
        x = self.patch_embedding(patchify(cells).astype(self.dtype)).astype(jnp.float32)
        structure, weights = nnx.split(self.actions)

        def act(x, extra):
            weights, layer = extra
            x, mouse = nnx.merge(structure, weights)(x, actions, layer)
            return x, mouse if collect else None

        def run(x, layers, before_ffn=None, extra=None):
            given = conditions._replace(extra=extra)
            chosen = {"collect": collect, "before_ffn": before_ffn, "layers": layers}
            return run_blocks(self.blocks, x, time_rows, rope, given, **chosen, **options)

        acting = self.config.action_layers
        x, first, mouse = run(x, range(acting), act, (weights, actions.layers))
        x, rest, _ = run(x, range(acting, self.config.layers))
        collected = jax.tree.map(lambda *parts: jnp.concatenate(parts), first, rest)
        return unpatchify(self.head(x, embedding), *cells.shape[2:4]), collected, mouse


def _gelu(x: jax.Array) -> jax.Array:
    return jax.nn.gelu(x, approximate=False)
