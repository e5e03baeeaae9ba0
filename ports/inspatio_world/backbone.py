"""InSpatio-World as a Backbone: what the memory and the rollout see of it."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ports.inspatio_world.config import (
    CELL,
    CHUNK_FRAMES,
    GUIDE_CHANNELS,
    LATENT_CHANNELS,
    SHIFT,
    STEPS,
    InSpatioConfig,
)
from ports.wan.blocks import Conditions, attention_queries, keys_and_values
from ports.wan.model import WanDiT
from ports.wan.parameters import bind
from ports.wan.patches import PATCH
from ports.wan.schedule import warped_schedule
from ports.wan.vae import VAEConfig, decode, encode
from worldkv_jax.memory import Context, KVSpan, KVSpec
from worldkv_jax.rollout import AttentionQueries, ChunkInput, CommittedSpan, Schedule

OWN_POSITION = 2 * CHUNK_FRAMES
"""Time position of a chunk's first frame: source and previous output stand before it, also where there is none."""


class InSpatioParams(NamedTuple):
    """Weights that a rollout needs; the prompt is embedded before it."""

    dit: Any
    vae: Any


class Source(NamedTuple):
    """What a chunk is made from besides the past: the conditions of its `ChunkInput`."""

    reference: jax.Array
    """``[B, 3, h, w, 16]`` latents of the source video at the chunk's own time."""
    mask: jax.Array
    """``[B, 3, h, w, 4]``: 1 where the source shows what the new camera sees, -1 where it does not."""
    render: jax.Array
    """``[B, 3, h, w, 16]`` latents of the source, warped to the new camera."""
    text: jax.Array
    """``[B, rows, text_dim]`` embedding of the prompt, zero past its end."""


class Previous(NamedTuple):
    """The chunk made before: all that the released model keeps."""

    latents: jax.Array  # [B, *latent_shape]
    cameras: jax.Array  # [B, F, 4, 4]


class Prepared(NamedTuple):
    """What is constant over the denoising passes of a chunk."""

    conditions: Conditions
    guide: jax.Array  # [B, F, h, w, 20] mask and render
    live: KVSpan  # [L, B, F * S or 2 F * S, N, H] of source and previous output
    attends: jax.Array  # int32 [B], 1 where the chunk attends to what was retrieved
    before: jax.Array | None  # [B, F, 4, 4] cameras of the previous chunk
    cameras: jax.Array  # [B, F, 4, 4] its own


@dataclasses.dataclass(frozen=True, kw_only=True)
class InSpatioWorld:
    """Video-to-video world model, v1 and v1.5: its carry is the previous chunk.

    Every chunk begins with a context pass over the source of the same time and the previous output, both clean.
    That pass yields the sink (source) and the recent window (previous output), both fresh; the memory only adds
    what was retrieved. It is also where the previous chunk's own keys and values become known, which are
    remembered at no extra cost (InSpatio-World specification, sections 4 and 8).
    """

    config: InSpatioConfig = dataclasses.field(default_factory=InSpatioConfig)
    rows: int = 60
    """Latent rows: an eighth of the video's height."""
    columns: int = 104
    """Latent columns."""
    schedule: Schedule = dataclasses.field(default_factory=lambda: warped_schedule(STEPS, shift=SHIFT))
    vae: VAEConfig = dataclasses.field(default_factory=lambda: VAEConfig(decoder_rule="inspatio"))
    least_unknown: float = 0.0
    """Share of a chunk's frames that the source must leave unknown before the chunk attends to retrieved ones."""
    remembered_position: int = CHUNK_FRAMES
    """Time position at which every remembered chunk begins. Unchanged, its keys stand where the previous output
    does; -3 moves them before the source, 9 behind the chunk itself. The weights have seen 0 to 8."""

    lag = 1  # a chunk's clean keys and values are known when the next one is made

    def __post_init__(self):
        if self.rows < PATCH or self.columns < PATCH or self.rows % PATCH or self.columns % PATCH:
            raise ValueError(
                f"{self.rows} x {self.columns} latent cells cannot be cut into patches of {PATCH} x {PATCH}: the "
                f"video's height and width have to be multiples of {PATCH * CELL}"
            )
        if not 0 <= self.least_unknown <= 1:
            raise ValueError(
                f"least_unknown={self.least_unknown} is outside [0, 1]; 0 always attends to what was retrieved"
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
        """Shape of the keys and values.

        It has no rope, so that the memory does not re-base: it would by a chunk's age, but here all remembered
        chunks stand at the same positions, see ``remembered_position``.
        """
        return KVSpec(
            layers=self.config.layers,
            heads=self.config.heads,
            head_dim=self.config.head_dim,
            tokens_per_frame=self.grid[0] * self.grid[1],
            chunk_frames=CHUNK_FRAMES,
            dtype=self.config.dtype,
        )

    def init_carry(self, params: InSpatioParams, worlds: int) -> None:
        """Return nothing: there is no previous output yet, and the first chunk's program differs."""

    def prepare_chunk(self, params: InSpatioParams, carry: Previous | None, chunk: ChunkInput, position) -> Prepared:
        """Project the prompt and run the context pass."""
        source: Source = chunk.conditions
        model = bind(WanDiT, self.config, params.dit)
        conditions = Conditions(cross=model.project_context(source.text))
        clean = source.reference if carry is None else jnp.concatenate([source.reference, carry.latents], axis=1)
        unknown = jnp.mean((1 - source.mask.astype(jnp.float32)) / 2, axis=(1, 2, 3, 4))
        return Prepared(
            conditions=conditions,
            guide=jnp.concatenate([source.mask, source.render], axis=-1),
            live=self.context_pass(params, clean, conditions),
            attends=(unknown >= self.least_unknown).astype(jnp.int32),
            before=None if carry is None else carry.cameras,
            cameras=chunk.cameras,
        )

    def context_pass(self, params: InSpatioParams, clean: jax.Array, conditions: Conditions) -> KVSpan:
        """Return the keys and values of clean latents ``[B, F, h, w, 16]`` that attend to each other, from time 0."""
        blank = jnp.zeros((*clean.shape[:-1], GUIDE_CHANNELS), clean.dtype)
        cells = jnp.concatenate([clean, blank], axis=-1)
        return self._forward(params, cells, jnp.float32(0), 0, conditions, collect=keys_and_values)[1]

    def flow(self, params: InSpatioParams, x, t, prepared: Prepared, context: Context) -> jax.Array:
        """Predict the flow of noisy latents."""
        return self._denoise(params, x, t, prepared, context)[0]

    def attention_queries(self, params: InSpatioParams, x, t, prepared: Prepared, context: Context) -> AttentionQueries:
        """Return what the attention of a pass asks with; the keys of the context pass are always seen."""
        queries = self._denoise(params, x, t, prepared, context, collect=attention_queries)[1]
        keys = jnp.concatenate([queries.keys, prepared.live.keys.astype(queries.keys.dtype)], axis=2)
        return queries._replace(keys=keys, length=prepared.attends * context.length)

    def commit(
        self, params: InSpatioParams, x0, prepared: Prepared, context: Context
    ) -> tuple[CommittedSpan | None, Previous]:
        """Hand on the output, and remember the previous one from this chunk's context pass: no pass of its own."""
        carry = Previous(x0, prepared.cameras)
        if prepared.before is None:
            return None, carry
        keys, values = (a[:, :, self.spec.chunk_tokens :] for a in prepared.live)
        moved = self.remembered_position - CHUNK_FRAMES
        if moved:
            keys = self.config.rope.shift_time(keys, jnp.full((1,), moved, jnp.int32))
        return CommittedSpan(KVSpan(keys, values), prepared.before), carry

    def init_decoder(self, params: InSpatioParams, worlds: int) -> None:
        """Return nothing: the VAE begins a stream without a state."""

    def decode(self, params: InSpatioParams, latents, decoder) -> tuple[jax.Array, Any]:
        """Decode latents to frames ``[B, n, height, width, 3]``: 9 of the first chunk, 12 of every later one."""
        frames, decoder = decode(self.vae, params.vae, latents, decoder)
        return (frames + 1) / 2, decoder

    def encode(self, params: InSpatioParams, frames: jax.Array) -> jax.Array:
        """Encode a video ``[B, n, height, width, 3]`` in [-1, 1] to latents ``[B, 1 + (n - 1) // 4, h, w, 16]``."""
        return encode(self.vae, params.vae, frames)

    def _denoise(self, params, x, t, prepared: Prepared, context: Context, *, collect=None):
        cells = jnp.concatenate([x, prepared.guide.astype(x.dtype)], axis=-1)
        context = context._replace(length=prepared.attends * context.length)
        conditions = prepared.conditions._replace(beside=prepared.live)
        return self._forward(params, cells, t, OWN_POSITION, conditions, context=context, collect=collect)

    def _forward(self, params, cells, t, start: int, conditions: Conditions, **options):
        frames = start + jnp.arange(cells.shape[1], dtype=jnp.int32)
        times = jnp.broadcast_to(t, (cells.shape[0], 1))
        rope = self.config.rope.grid(frames, *self.grid)
        return bind(WanDiT, self.config, params.dit)(cells, times, rope, conditions, **options)
