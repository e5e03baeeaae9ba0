"""The diffusion transformer that Wan-style world models share."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from ports.wan.nn.block import MLP, Conditions, DiTBlock, Head, TimeEmbedding
from ports.wan.nn.layers import Linear
from ports.wan.nn.parameters import stack_layers
from ports.wan.nn.patches import PATCH, patchify, unpatchify
from ports.wan.nn.stack import map_layers, run_blocks
from worldkv_jax.rope import Rope


@dataclasses.dataclass(frozen=True, kw_only=True)
class WanConfig:
    """Size of a Wan-style diffusion transformer."""

    dim: int
    ffn_dim: int
    heads: int
    layers: int
    in_channels: int = 36
    """Channels of what is embedded: noisy latents, mask, conditioning latents."""
    out_channels: int = 16
    frequency_dim: int = 256
    text_dim: int = 4096
    dtype: str = "bfloat16"
    """What linear maps and attention compute in; norms, modulation and the residual stream are float32."""
    weights: str | None = None
    """``int8`` or ``fp8`` for blocks whose kernels are in eight bits, see `ports.wan.nn.quantized`."""

    def __post_init__(self):
        if self.dim % self.heads:
            raise ValueError(f"dim={self.dim} is not a multiple of heads={self.heads}; every head has the same width")

    @property
    def head_dim(self) -> int:
        """Width of one head."""
        return self.dim // self.heads

    @property
    def rope(self) -> Rope:
        """Rotary positions of one head."""
        return Rope(head_dim=self.head_dim)


class WanDiT(nnx.Module):
    """Flow of noisy latents given their diffusion time, conditioning channels, a prompt and the visible past.

    Wan 2.1; LingBot-World specification section 3, InSpatio-World specification section 2.
    """

    def __init__(
        self,
        config: WanConfig,
        *,
        camera: bool = False,
        embed_context: Callable[[nnx.Rngs], nnx.Module] | None = None,
        rngs: nnx.Rngs,
    ):
        """Draw the weights; ``embed_context`` makes what embeds the features of cross-attention, if not a prompt's."""
        dim = config.dim
        self.patch_embedding = Linear(PATCH**2 * config.in_channels, dim, rngs=rngs)
        self.time_embedding = TimeEmbedding(dim, config.frequency_dim, rngs=rngs)
        self.context_embedding = (
            MLP(config.text_dim, dim, dim, activation=jax.nn.gelu, rngs=rngs)
            if embed_context is None
            else embed_context(rngs)
        )
        self.blocks = stack_layers(
            lambda rngs: DiTBlock(
                dim, config.heads, config.ffn_dim, camera=camera, cross=True, dtype=config.dtype, rngs=rngs
            ),
            config.layers,
            rngs,
        )
        self.head = Head(dim, PATCH**2 * config.out_channels, rngs=rngs)
        self.dtype = jnp.dtype(config.dtype)

    def project_context(self, features: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Turn features ``[B, n, text_dim]`` into every block's keys and values, ``[L, B, n, N, H]``.

        All rows are attended to, padding included, as in the released models.
        """
        embedded = self.context_embedding(features.astype(self.dtype))
        return map_layers(lambda part, rows: part.project(rows), self.blocks.cross_attn, embedded)

    def __call__(
        self, cells: jax.Array, t: jax.Array, rope, conditions: Conditions, **options: Any
    ) -> tuple[jax.Array, *tuple[Any, ...]]:
        """Predict the flow (noise minus clean) of every latent cell.

        Args:
            cells: ``[B, F, rows, columns, in_channels]`` noisy latents and their conditioning channels.
            t: ``[B, G]`` diffusion time of each of ``G`` equal groups of frames, 0 to 1000.
            rope: cosine and sine ``[T, H / 2]`` or ``[B, T, H / 2]``.
            conditions: what is constant over the passes of a chunk.
            options: of `run_blocks`, such as ``context`` and ``collect``.

        Returns:
            Flow float32 ``[B, F, rows, columns, out_channels]``, what ``collect`` gathered, and what a model adds.
        """
        embedding, time_rows = self.time_embedding(t)
        x = self.patch_embedding(patchify(cells).astype(self.dtype)).astype(jnp.float32)
        x, collected, _ = run_blocks(self.blocks, x, time_rows, rope, conditions, **options)
        return unpatchify(self.head(x, embedding), *cells.shape[2:4]), collected
