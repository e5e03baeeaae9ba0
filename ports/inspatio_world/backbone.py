"""InSpatio-World as a Backbone: what the memory and the rollout see of it."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ports.inspatio_world.config import SHIFT, STEPS, InSpatioConfig
from ports.wan.autoencoders.taehv import TAEHVConfig
from ports.wan.autoencoders.wan_vae import VAEConfig
from ports.wan.backbone import WanBackbone, WanParams
from ports.wan.latents import CHUNK_FRAMES, GUIDE_CHANNELS
from ports.wan.nn.block import Conditions
from ports.wan.nn.stack import keys_and_values
from ports.wan.schedule import warped_schedule
from worldkv_jax.memory import Context, KVSpan, KVSpec
from worldkv_jax.rollout import AttentionQueries, ChunkInput, CommittedSpan, Schedule

OWN_POSITION = 2 * CHUNK_FRAMES
"""Time position of a chunk's first frame: source and previous output stand before it, also where there is none."""


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

    guide: jax.Array  # [B, F, h, w, 20] mask and render
    rope: tuple[jax.Array, jax.Array]
    conditions: Conditions
    live: KVSpan  # [L, B, F * S or 2 F * S, N, H] of source and previous output
    attends: jax.Array  # int32 [B], 1 where the chunk attends to what was retrieved
    before: jax.Array | None  # [B, F, 4, 4] cameras of the previous chunk
    cameras: jax.Array  # [B, F, 4, 4] its own


@dataclasses.dataclass(frozen=True, kw_only=True)
class InSpatioWorld(WanBackbone[Prepared]):
    """Video-to-video world model, v1 and v1.5: its carry is the previous chunk.

    Every chunk begins with a context pass over the source of the same time and the previous output, both clean.
    That pass yields the sink (source) and the recent window (previous output), both fresh; the memory only adds
    what was retrieved. It is also where the previous chunk's own keys and values become known, which are
    remembered at no extra cost (InSpatio-World specification, sections 4 and 8).
    """

    config: InSpatioConfig = dataclasses.field(default_factory=InSpatioConfig)
    rows: int = 60
    columns: int = 104
    schedule: Schedule = dataclasses.field(default_factory=lambda: warped_schedule(STEPS, shift=SHIFT))
    vae: VAEConfig | TAEHVConfig = dataclasses.field(default_factory=lambda: VAEConfig(decoder_rule="inspatio"))
    least_unknown: float = 0.0
    """Share of a chunk's frames that the source must leave unknown before the chunk attends to retrieved ones."""
    remembered_position: int = CHUNK_FRAMES
    """Time position at which every remembered chunk begins. Unchanged, its keys stand where the previous output
    does; -3 moves them before the source, 9 behind the chunk itself. The weights have seen 0 to 8."""

    lag = 1  # a chunk's clean keys and values are known when the next one is made

    def __post_init__(self):
        super().__post_init__()
        if not 0 <= self.least_unknown <= 1:
            raise ValueError(
                f"least_unknown={self.least_unknown} is outside [0, 1]; 0 always attends to what was retrieved"
            )

    @property
    def spec(self) -> KVSpec:
        """Shape of the keys and values.

        It has no rope, so that the memory does not re-base: it would by a chunk's age, but here all remembered
        chunks stand at the same positions, see ``remembered_position``.
        """
        return dataclasses.replace(super().spec, rope=None)

    def init_carry(self, params: WanParams, worlds: int) -> None:
        """Return nothing: there is no previous output yet, and the first chunk's program differs."""

    def prepare_chunk(self, params: WanParams, carry: Previous | None, chunk: ChunkInput, position) -> Prepared:
        """Project the prompt and run the context pass."""
        source: Source = chunk.conditions
        conditions = Conditions(cross=self.bind(params).project_context(source.text))
        clean = source.reference if carry is None else jnp.concatenate([source.reference, carry.latents], axis=1)
        unknown = jnp.mean((1 - source.mask.astype(jnp.float32)) / 2, axis=(1, 2, 3, 4))
        return Prepared(
            guide=jnp.concatenate([source.mask, source.render], axis=-1),
            rope=self.rotation(OWN_POSITION),
            conditions=conditions,
            live=self.context_pass(params, clean, conditions),
            attends=(unknown >= self.least_unknown).astype(jnp.int32),
            before=None if carry is None else carry.cameras,
            cameras=chunk.cameras,
        )

    def context_pass(self, params: WanParams, clean: jax.Array, conditions: Conditions) -> KVSpan:
        """Return the keys and values of clean latents ``[B, F, h, w, 16]`` that attend to each other, from time 0."""
        blank = jnp.zeros((*clean.shape[:-1], GUIDE_CHANNELS), clean.dtype)
        cells, rope = jnp.concatenate([clean, blank], axis=-1), self.rotation(0, clean.shape[1])
        times = jnp.zeros((len(clean), 1), jnp.float32)
        return self.bind(params)(cells, times, rope, conditions, collect=keys_and_values)[1]

    def run(self, params: WanParams, x, t, prepared: Prepared, context: Context, **options) -> tuple:
        """Pass noisy latents through the transformer, which sees the context pass, and what was retrieved if it may."""
        context = context._replace(length=prepared.attends * context.length)
        prepared = prepared._replace(conditions=prepared.conditions._replace(reference=prepared.live))
        return super().run(params, x, t, prepared, context, **options)

    def attention_queries(self, params: WanParams, x, t, prepared: Prepared, context: Context) -> AttentionQueries:
        """Return what the attention of a pass asks with; the keys of the context pass are always seen."""
        queries = super().attention_queries(params, x, t, prepared, context)
        keys = jnp.concatenate([queries.keys, prepared.live.keys.astype(queries.keys.dtype)], axis=2)
        return queries._replace(keys=keys, length=prepared.attends * context.length)

    def commit(
        self, params: WanParams, x0, prepared: Prepared, context: Context
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
