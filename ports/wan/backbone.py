"""What the backbones of Wan-style world models share: sizes, passes of the transformer, the decoder."""

import dataclasses
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar

import jax
import jax.numpy as jnp

from ports.wan.autoencoders import taehv, wan_vae
from ports.wan.latents import CELL, CHUNK_FRAMES, LATENT_CHANNELS
from ports.wan.nn.block import Conditions
from ports.wan.nn.dit import WanConfig, WanDiT
from ports.wan.nn.parameters import bind
from ports.wan.nn.patches import PATCH
from ports.wan.nn.stack import attention_queries
from worldkv_jax.memory import Context, KVSpec
from worldkv_jax.rollout import AttentionQueries, Schedule


class WanParams(NamedTuple):
    """Weights that a rollout needs; what reads prompts and pictures runs before it."""

    dit: Any
    vae: Any


class Prepared(Protocol):
    """What `prepare_chunk` computes, constant over the passes of a chunk; a model adds its own to it."""

    @property
    def guide(self) -> jax.Array:
        """``[B, F, rows, columns, 20]`` channels beside the noisy latents: mask and latents of a picture."""
        ...

    @property
    def rope(self) -> tuple[jax.Array, jax.Array]:
        """Cosine and sine of the chunk's own tokens."""
        ...

    @property
    def conditions(self) -> Conditions:
        """What blocks are given."""
        ...


OwnPrepared = TypeVar("OwnPrepared", bound=Prepared)


@dataclasses.dataclass(frozen=True, kw_only=True)
class WanBackbone(Generic[OwnPrepared]):
    """A Wan-style world model at one size of video; a model adds `init_carry`, `prepare_chunk` and `commit`."""

    config: WanConfig
    rows: int
    """Latent rows: an eighth of the video's height."""
    columns: int
    """Latent columns."""
    schedule: Schedule
    vae: wan_vae.VAEConfig | taehv.TAEHVConfig = dataclasses.field(default_factory=wan_vae.VAEConfig)
    """What makes frames of latents: the VAE, or a tiny stand-in that is faster and less sharp."""

    network: ClassVar[type[WanDiT]] = WanDiT
    lag = 0

    def __post_init__(self):
        if self.rows < PATCH or self.columns < PATCH or self.rows % PATCH or self.columns % PATCH:
            raise ValueError(
                f"{self.rows} x {self.columns} latent cells cannot be cut into patches of {PATCH} x {PATCH}; give a "
                f"video whose height and width are multiples of {PATCH * CELL}"
            )

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of tokens."""
        return self.rows // PATCH, self.columns // PATCH

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Latents of a chunk: frames, rows, columns, channels."""
        return CHUNK_FRAMES, self.rows, self.columns, LATENT_CHANNELS

    @property
    def spec(self) -> KVSpec:
        """Shape of the keys and values."""
        return KVSpec(
            layers=self.config.layers,
            heads=self.config.heads,
            head_dim=self.config.head_dim,
            tokens_per_frame=self.grid[0] * self.grid[1],
            chunk_frames=CHUNK_FRAMES,
            dtype=self.config.dtype,
            rope=self.config.rope,
        )

    def rotation(self, first: jax.Array | int, frames: int = CHUNK_FRAMES) -> tuple[jax.Array, jax.Array]:
        """Return cosine and sine ``[T, H / 2]`` of the tokens of latent frames that begin at a time position."""
        return self.config.rope.grid(first + jnp.arange(frames, dtype=jnp.int32), *self.grid)

    def bind(self, params: WanParams) -> Any:
        """Give the transformer its parameters."""
        return bind(self.network, self.config, params.dit)

    def run(self, params: WanParams, x, t, prepared: OwnPrepared, context: Context, **options) -> tuple:
        """Pass noisy latents ``[B, *latent_shape]`` through the transformer.

        Args:
            params: its weights.
            x: the latents.
            t: diffusion time, a scalar or ``[B, 1]``.
            prepared: of `prepare_chunk`.
            context: the visible past.
            options: of the transformer, such as ``collect``.

        Returns:
            The flow, what ``collect`` gathered, and whatever else the transformer returns.
        """
        cells = jnp.concatenate([x, prepared.guide.astype(x.dtype)], axis=-1)
        times = jnp.broadcast_to(t, (x.shape[0], 1))
        return self.bind(params)(cells, times, prepared.rope, prepared.conditions, context=context, **options)

    def flow(self, params: WanParams, x, t, prepared: OwnPrepared, context: Context) -> jax.Array:
        """Predict the flow of noisy latents."""
        return self.run(params, x, t, prepared, context)[0]

    def attention_queries(self, params: WanParams, x, t, prepared: OwnPrepared, context: Context) -> AttentionQueries:
        """Return what the attention of a pass asks with."""
        return self.run(params, x, t, prepared, context, collect=attention_queries)[1]

    def init_decoder(self, params: WanParams, worlds: int) -> None:
        """Return nothing: the decoder's state begins with the first chunk, which gives 9 frames instead of 12."""

    def decode(self, params: WanParams, latents, decoder) -> tuple[jax.Array, Any]:
        """Decode latents to frames ``[B, n, height, width, 3]``: 9 of a rollout's first chunk, then 12 each."""
        if isinstance(self.vae, wan_vae.VAEConfig):
            frames, decoder = wan_vae.decode(self.vae, params.vae, latents, decoder)
        else:
            frames, decoder = taehv.decode(self.vae, params.vae, latents, decoder)
        return (frames + 1) / 2, decoder
