"""Matrix-Game 2.0 as a Backbone: what the memory and the rollout see of it."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ports.matrix_game2.action_module import ActionInput, ActionWindow, empty_window, push
from ports.matrix_game2.config import CELL, CHUNK_FRAMES, LATENT_CHANNELS, MatrixGameConfig
from ports.matrix_game2.model import MatrixGameDiT
from ports.matrix_game2.variants import UNIVERSAL
from ports.wan.autoencoders import taehv, wan_vae
from ports.wan.autoencoders.taehv import TAEHVConfig
from ports.wan.autoencoders.wan_vae import VAEConfig
from ports.wan.nn.parameters import bind
from ports.wan.nn.patches import PATCH
from ports.wan.nn.stack import attention_queries, keys_and_values
from worldkv_jax.memory import Context, KVSpan, KVSpec
from worldkv_jax.rollout import AttentionQueries, ChunkInput, Schedule


class MatrixGameParams(NamedTuple):
    """Weights that a rollout needs; what encodes the image runs before it."""

    dit: Any
    decoder: Any


class Given(NamedTuple):
    """What a chunk is conditioned on besides its poses."""

    keyboard: jax.Array
    """``[B, F, 12, K]`` the rows of keys that each latent frame sees, see `action_windows`."""
    mouse: jax.Array | None
    """``[B, F, 12, 2]`` those of the mouse, in mouse units a frame."""
    image: jax.Array
    """``[B, F, rows, columns, 20]`` mask and latents of the first image."""
    tokens: jax.Array
    """``[B, n, image_dim]`` CLIP's tokens of the first image."""


class Prepared(NamedTuple):
    """What is constant over the passes of a chunk."""

    image: jax.Array  # [B, F, rows, columns, 20]
    rope: tuple[jax.Array, jax.Array]
    cross: tuple[jax.Array, jax.Array]  # keys and values of the image, [L, B, n, N, H]
    actions: ActionInput


@dataclasses.dataclass(frozen=True)
class MatrixGame2:
    """Matrix-Game 2.0 at one size of video; its carry is the window of its action modules."""

    config: MatrixGameConfig = dataclasses.field(default_factory=MatrixGameConfig)
    rows: int = 44
    """Latent rows: an eighth of the video's height."""
    columns: int = 80
    """Latent columns."""
    schedule: Schedule = UNIVERSAL.schedule
    decoder: VAEConfig | TAEHVConfig = dataclasses.field(default_factory=VAEConfig)
    """What makes frames of latents: the VAE, or a tiny stand-in that is faster and less sharp."""

    lag = 0

    def __post_init__(self):
        if self.rows < PATCH or self.columns < PATCH or self.rows % PATCH or self.columns % PATCH:
            raise ValueError(
                f"{self.rows} x {self.columns} latent cells cannot be cut into patches of {PATCH} x {PATCH}; give a "
                f"video whose height and width are multiples of {PATCH * CELL}"
            )

    @property
    def spec(self) -> KVSpec:
        """Shape of the keys and values."""
        return KVSpec(
            layers=self.config.layers,
            heads=self.config.heads,
            head_dim=self.config.head_dim,
            tokens_per_frame=(self.rows // PATCH) * (self.columns // PATCH),
            chunk_frames=CHUNK_FRAMES,
            dtype=self.config.dtype,
            rope=self.config.rope,
        )

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Latents of a chunk: frames, rows, columns, channels."""
        return CHUNK_FRAMES, self.rows, self.columns, LATENT_CHANNELS

    def init_carry(self, params: MatrixGameParams, worlds: int) -> ActionWindow:
        """Return the empty window of the action modules."""
        return empty_window(self.config, worlds, self.spec.tokens_per_frame)

    def prepare_chunk(self, params: MatrixGameParams, carry: ActionWindow, chunk: ChunkInput, position) -> Prepared:
        """Compute rotary positions, keys and values of the image, and what the actions contribute."""
        given: Given = chunk.conditions
        model = bind(MatrixGameDiT, self.config, params.dit)
        frames = position * CHUNK_FRAMES + jnp.arange(CHUNK_FRAMES, dtype=jnp.int32)
        return Prepared(
            image=given.image.astype(jnp.float32),
            rope=self.config.rope.grid(frames, self.rows // PATCH, self.columns // PATCH),
            cross=model.project_context(given.tokens),
            actions=model.prepare_actions(given.keyboard, given.mouse, carry, position),
        )

    def flow(self, params: MatrixGameParams, x, t, prepared: Prepared, context: Context) -> jax.Array:
        """Predict the flow of noisy latents."""
        return self._forward(params, x, t, prepared, context)[0]

    def commit(self, params: MatrixGameParams, x0, prepared: Prepared, context: Context) -> tuple[KVSpan, ActionWindow]:
        """Run the clean pass."""
        _, own, mouse = self._forward(params, x0, jnp.float32(0), prepared, context, collect=keys_and_values)
        actions = prepared.actions.layers
        return own, push(actions.past, ActionWindow(mouse, actions.keyboard))

    def attention_queries(
        self, params: MatrixGameParams, x, t, prepared: Prepared, context: Context
    ) -> AttentionQueries:
        """Return what the attention of a pass asks with."""
        return self._forward(params, x, t, prepared, context, collect=attention_queries)[1]

    def init_decoder(self, params: MatrixGameParams, worlds: int) -> None:
        """Return nothing: the decoder's state begins with the first chunk, which gives 9 frames instead of 12."""

    def decode(self, params: MatrixGameParams, latents, decoder) -> tuple[jax.Array, Any]:
        """Decode latents to frames ``[B, n, height, width, 3]``: 9 of a rollout's first chunk, then 12 each."""
        decode = wan_vae.decode if isinstance(self.decoder, VAEConfig) else taehv.decode
        frames, decoder = decode(self.decoder, params.decoder, latents, decoder)
        return (frames + 1) / 2, decoder

    def _forward(self, params, x, t, prepared: Prepared, context: Context, *, collect=None):
        model = bind(MatrixGameDiT, self.config, params.dit)
        cells = jnp.concatenate([x.astype(jnp.float32), prepared.image], axis=-1)
        times = jnp.broadcast_to(t, (x.shape[0], 1))
        return model(cells, times, prepared.rope, prepared.cross, prepared.actions, context=context, collect=collect)
