"""LingBot-World-Fast as a Backbone: what the memory and the rollout see of it."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ports.lingbot_world.camera import Lens, camera_cells
from ports.lingbot_world.config import LingBotConfig
from ports.lingbot_world.model import LingBotDiT
from ports.lingbot_world.schedule import lingbot_schedule
from ports.wan.backbone import WanBackbone, WanParams
from ports.wan.latents import CELL, CHUNK_FRAMES
from ports.wan.nn.block import Conditions
from ports.wan.nn.stack import keys_and_values
from worldkv_jax.memory import Context, KVSpan
from worldkv_jax.rollout import ChunkInput, Schedule


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

    guide: jax.Array  # [B, F, rows, columns, 20] the image
    rope: tuple[jax.Array, jax.Array]
    conditions: Conditions
    last_camera: jax.Array  # [B, 4, 4]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LingBotWorld(WanBackbone[Prepared]):
    """LingBot-World-Fast at one size of video; its carry is the camera of the latest latent frame."""

    config: LingBotConfig = dataclasses.field(default_factory=LingBotConfig)
    rows: int = 58
    """Latent rows, see `latent_size`."""
    columns: int = 104
    schedule: Schedule = dataclasses.field(default_factory=lingbot_schedule)

    network = LingBotDiT

    def init_carry(self, params: WanParams, worlds: int) -> jax.Array:
        """Return a placeholder for the latest camera, ``[B, 4, 4]``."""
        return jnp.broadcast_to(jnp.eye(4), (worlds, 4, 4))

    def prepare_chunk(self, params: WanParams, carry, chunk: ChunkInput, position) -> Prepared:
        """Compute rotary positions, camera scale and shift, and keys and values of the prompt."""
        given: Given = chunk.conditions
        model = self.bind(params)
        camera = given.camera
        if isinstance(camera, Lens):
            previous = jnp.where(position == 0, chunk.cameras[:, 0], carry)
            camera = camera_cells(previous, chunk.cameras, camera, (self.rows * CELL, self.columns * CELL))
        return Prepared(
            guide=given.image.astype(jnp.float32),
            rope=self.rotation(position * CHUNK_FRAMES),
            conditions=Conditions(film=model.prepare_camera(camera), cross=model.project_context(given.prompt)),
            last_camera=chunk.cameras[:, -1],
        )

    def commit(self, params: WanParams, x0, prepared: Prepared, context: Context) -> tuple[KVSpan, jax.Array]:
        """Run the clean pass."""
        return self.flow_and_commit(params, x0, jnp.float32(0), prepared, context)[1:]

    def flow_and_commit(
        self, params: WanParams, x, t, prepared: Prepared, context: Context
    ) -> tuple[jax.Array, KVSpan, jax.Array]:
        """Run a pass for its flow and for what is remembered."""
        flow, own = self.run(params, x, t, prepared, context, collect=keys_and_values)
        return flow, own, prepared.last_camera
