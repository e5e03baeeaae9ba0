"""LingBot-World-Fast as a Backbone: what the memory and the rollout see of it."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ports.lingbot_world.camera import Lens, camera_cells
from ports.lingbot_world.config import CELL, CHUNK_FRAMES, LATENT_CHANNELS, LingBotConfig
from ports.lingbot_world.model import LingBotDiT
from ports.lingbot_world.schedule import lingbot_schedule
from ports.wan.autoencoders.wan_vae import VAEConfig, decode
from ports.wan.nn.block import Conditions
from ports.wan.nn.parameters import bind
from ports.wan.nn.patches import PATCH
from ports.wan.nn.stack import attention_queries, keys_and_values
from worldkv_jax.memory import Context, KVSpan, KVSpec
from worldkv_jax.rollout import AttentionQueries, ChunkInput, Schedule


class LingBotParams(NamedTuple):
    """Weights that a rollout needs; the text encoder runs before it."""

    dit: Any
    vae: Any


class Given(NamedTuple):
    """What a chunk is conditioned on besides its poses."""

    camera: Lens | jax.Array
    """A lens; or the camera channels ``[B, F, rows, columns, c]`` themselves, made elsewhere."""
    image: jax.Array
    """``[B, F, rows, columns, 20]`` mask and latents of the first frame, see `image_cells`."""
    prompt: jax.Array
    """``[B, text_rows, text_dim]`` prompt embedding, zero past its end; all rows are attended to."""


class Prepared(NamedTuple):
    """What is constant over the passes of a chunk."""

    image: jax.Array  # [B, F, rows, columns, 20]
    rope: tuple[jax.Array, jax.Array]
    conditions: Conditions
    last_camera: jax.Array  # [B, 4, 4]


@dataclasses.dataclass(frozen=True)
class LingBotWorld:
    """LingBot-World-Fast at one size of video; its carry is the camera of the latest latent frame."""

    config: LingBotConfig = dataclasses.field(default_factory=LingBotConfig)
    rows: int = 58
    """Latent rows: an eighth of the video's height, see `latent_size`."""
    columns: int = 104
    """Latent columns."""
    schedule: Schedule = dataclasses.field(default_factory=lingbot_schedule)
    vae: VAEConfig = dataclasses.field(default_factory=VAEConfig)

    lag = 0

    def __post_init__(self):
        if self.rows < PATCH or self.columns < PATCH or self.rows % PATCH or self.columns % PATCH:
            raise ValueError(
                f"{self.rows} x {self.columns} latent cells cannot be cut into patches of {PATCH} x {PATCH}: the "
                f"video's height and width have to be multiples of {PATCH * CELL}"
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

    def init_carry(self, params: LingBotParams, worlds: int) -> jax.Array:
        """Return a placeholder for the latest camera, ``[B, 4, 4]``."""
        return jnp.broadcast_to(jnp.eye(4), (worlds, 4, 4))

    def prepare_chunk(self, params: LingBotParams, carry, chunk: ChunkInput, position) -> Prepared:
        """Compute rotary positions, camera scale and shift, and keys and values of the prompt."""
        given: Given = chunk.conditions
        model = bind(LingBotDiT, self.config, params.dit)
        camera = given.camera
        if isinstance(camera, Lens):
            previous = jnp.where(position == 0, chunk.cameras[:, 0], carry)
            camera = camera_cells(previous, chunk.cameras, camera, (self.rows * CELL, self.columns * CELL))
        frames = position * CHUNK_FRAMES + jnp.arange(CHUNK_FRAMES, dtype=jnp.int32)
        return Prepared(
            image=given.image.astype(jnp.float32),
            rope=self.config.rope.grid(frames, self.rows // PATCH, self.columns // PATCH),
            conditions=Conditions(film=model.prepare_camera(camera), cross=model.project_context(given.prompt)),
            last_camera=chunk.cameras[:, -1],
        )

    def flow(self, params: LingBotParams, x, t, prepared: Prepared, context: Context) -> jax.Array:
        """Predict the flow of noisy latents."""
        return self._forward(params, x, t, prepared, context)[0]

    def commit(self, params: LingBotParams, x0, prepared: Prepared, context: Context) -> tuple[KVSpan, jax.Array]:
        """Run the clean pass."""
        _, own = self._forward(params, x0, jnp.float32(0), prepared, context, collect=keys_and_values)
        return own, prepared.last_camera

    def attention_queries(self, params: LingBotParams, x, t, prepared: Prepared, context: Context) -> AttentionQueries:
        """Return what the attention of a pass asks with."""
        return self._forward(params, x, t, prepared, context, collect=attention_queries)[1]

    def init_decoder(self, params: LingBotParams, worlds: int) -> None:
        """Return nothing: the decoder's state begins with the first chunk, which gives 9 frames instead of 12."""

    def decode(self, params: LingBotParams, latents, decoder) -> tuple[jax.Array, Any]:
        """Decode latents to frames ``[B, n, height, width, 3]``: 9 of a rollout's first chunk, then 12 each."""
        frames, decoder = decode(self.vae, params.vae, latents, decoder)
        return (frames + 1) / 2, decoder

    def _forward(self, params, x, t, prepared: Prepared, context: Context, *, collect=None):
        model = bind(LingBotDiT, self.config, params.dit)
        cells = jnp.concatenate([x.astype(jnp.float32), prepared.image], axis=-1)
        times = jnp.broadcast_to(t, (x.shape[0], 1))
        return model(cells, times, prepared.rope, prepared.conditions, context=context, collect=collect)
