"""Matrix-Game 2.0 as a Backbone: what the memory and the rollout see of it."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ports.matrix_game2.action_module import ActionInput, ActionWindow, empty_window, push
from ports.matrix_game2.config import MatrixGameConfig
from ports.matrix_game2.model import MatrixGameDiT
from ports.matrix_game2.variants import UNIVERSAL
from ports.wan.backbone import WanBackbone, WanParams
from ports.wan.latents import CHUNK_FRAMES
from ports.wan.nn.block import Conditions
from ports.wan.nn.stack import keys_and_values
from worldkv_jax.memory import Context, KVSpan
from worldkv_jax.rollout import ChunkInput, Schedule


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

    guide: jax.Array  # [B, F, rows, columns, 20] the image
    rope: tuple[jax.Array, jax.Array]
    conditions: Conditions
    actions: ActionInput


@dataclasses.dataclass(frozen=True, kw_only=True)
class MatrixGame2(WanBackbone[Prepared]):
    """Matrix-Game 2.0 at one size of video; its carry is the window of its action modules."""

    config: MatrixGameConfig = dataclasses.field(default_factory=MatrixGameConfig)
    rows: int = 44
    columns: int = 80
    schedule: Schedule = UNIVERSAL.schedule

    network = MatrixGameDiT

    def init_carry(self, params: WanParams, worlds: int) -> ActionWindow:
        """Return the empty window of the action modules."""
        return empty_window(self.config, worlds, self.spec.tokens_per_frame)

    def prepare_chunk(self, params: WanParams, carry: ActionWindow, chunk: ChunkInput, position) -> Prepared:
        """Compute rotary positions, keys and values of the image, and what the actions contribute."""
        given: Given = chunk.conditions
        model = self.bind(params)
        return Prepared(
            guide=given.image.astype(jnp.float32),
            rope=self.rotation(position * CHUNK_FRAMES),
            conditions=Conditions(cross=model.project_context(given.tokens)),
            actions=model.prepare_actions(given.keyboard, given.mouse, carry, position),
        )

    def commit(self, params: WanParams, x0, prepared: Prepared, context: Context) -> tuple[KVSpan, ActionWindow]:
        """Run the clean pass."""
        return self.flow_and_commit(params, x0, jnp.float32(0), prepared, context)[1:]

    def flow_and_commit(
        self, params: WanParams, x, t, prepared: Prepared, context: Context
    ) -> tuple[jax.Array, KVSpan, ActionWindow]:
        """Run a pass for its flow and for what is remembered."""
        flow, own, mouse = self.run(params, x, t, prepared, context, collect=keys_and_values)
        actions = prepared.actions.layers
        return flow, own, push(actions.past, ActionWindow(mouse, actions.keyboard))

    def run(self, params: WanParams, x, t, prepared: Prepared, context: Context, **options) -> tuple:
        """Pass noisy latents through the transformer, which also returns the mouse branches' keys and values."""
        return super().run(params, x, t, prepared, context, actions=prepared.actions, **options)
