"""The demo world as a Backbone: what the memory and the rollout see of it."""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ports.demo_world.codec import Codec
from ports.demo_world.model import (
    GRID,
    TOKENS,
    Camera,
    DemoConfig,
    DemoDiT,
    ray_features,
)
from ports.demo_world.weights import load_weights, read_config, shipped_weights
from ports.demo_world.worlds.sizes import CELLS, CHUNK_FRAMES
from ports.wan.nn.parameters import bind
from ports.wan.nn.patches import patchify, unpatchify
from ports.wan.nn.stack import attention_queries, keys_and_values
from worldkv_jax.memory import Context, KVSpan, KVSpec
from worldkv_jax.rollout import AttentionQueries, ChunkInput, Schedule, shifted_schedule


class DemoParams(NamedTuple):
    """Weights of the demo world."""

    model: Any
    codec: Codec


class Prepared(NamedTuple):
    """What is constant over the passes of a chunk."""

    camera: Camera
    rope: tuple[jax.Array, jax.Array]
    origin: jax.Array  # [B, 4, 4] first camera of the rollout


@dataclasses.dataclass(frozen=True)
class DemoWorld:
    """A small world model that ships trained; its carry is the first camera, which all rays are relative to."""

    config: DemoConfig = dataclasses.field(default_factory=DemoConfig)
    schedule: Schedule = dataclasses.field(default_factory=lambda: shifted_schedule(4, shift=3.0))

    lag = 0

    @classmethod
    def load(cls, path: Path | str | None = None) -> tuple["DemoWorld", DemoParams]:
        """Load the shipped weights, or others that the trainer wrote."""
        config, codec, model = load_weights(shipped_weights() if path is None else Path(path))
        return cls(config), DemoParams(model, codec)

    @classmethod
    def sized(cls, path: Path | str | None = None) -> "DemoWorld":
        """Return the model of the shipped weights, or of others, without reading them."""
        return cls(read_config(shipped_weights() if path is None else Path(path)))

    @property
    def spec(self) -> KVSpec:
        """Shape of the keys and values."""
        return KVSpec(
            layers=self.config.layers,
            heads=self.config.heads,
            head_dim=self.config.dim // self.config.heads,
            tokens_per_frame=TOKENS,
            chunk_frames=CHUNK_FRAMES,
            rope=self.config.rope,
        )

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Latents of a chunk: frames, rows, columns, channels."""
        return CHUNK_FRAMES, *CELLS, self.config.family.channels

    def init_carry(self, params: DemoParams, worlds: int) -> jax.Array:
        """Return a placeholder for the first camera, ``[B, 4, 4]``."""
        return jnp.broadcast_to(jnp.eye(4), (worlds, 4, 4))

    def prepare_chunk(self, params: DemoParams, carry, chunk: ChunkInput, position) -> Prepared:
        """Embed the cameras and compute rotary positions and camera FiLM."""
        origin = jnp.where(position == 0, chunk.cameras[:, 0], carry)
        camera = bind(DemoDiT, self.config, params.model).prepare_camera(jax.vmap(ray_features)(origin, chunk.cameras))
        frames = position * CHUNK_FRAMES + jnp.arange(CHUNK_FRAMES, dtype=jnp.int32)
        return Prepared(camera, self.config.rope.grid(frames, *GRID), origin)

    def flow(self, params: DemoParams, x, t, prepared: Prepared, context: Context) -> jax.Array:
        """Predict the flow of noisy latents."""
        return unpatchify(self._forward(params, x, t, prepared, context)[0], *CELLS)

    def commit(self, params: DemoParams, x0, prepared: Prepared, context: Context) -> tuple[KVSpan, jax.Array]:
        """Run the clean pass."""
        return self.flow_and_commit(params, x0, jnp.float32(0), prepared, context)[1:]

    def flow_and_commit(
        self, params: DemoParams, x, t, prepared: Prepared, context: Context
    ) -> tuple[jax.Array, KVSpan, jax.Array]:
        """Run a pass for its flow and for what is remembered."""
        flow, own = self._forward(params, x, t, prepared, context, collect=keys_and_values)
        return unpatchify(flow, *CELLS), own, prepared.origin

    def attention_queries(self, params: DemoParams, x, t, prepared: Prepared, context: Context) -> AttentionQueries:
        """Return what the attention of a pass asks with."""
        return self._forward(params, x, t, prepared, context, collect=attention_queries)[1]

    def init_decoder(self, params: DemoParams, worlds: int) -> None:
        """Return nothing: the codec keeps no state."""

    def decode(self, params: DemoParams, latents, decoder) -> tuple[jax.Array, None]:
        """Decode latents to frames ``[B, 3, H, W, 3]``."""
        return params.codec.decode(latents), None

    def encode(self, params: DemoParams, frames: jax.Array) -> jax.Array:
        """Encode frames ``[B, 3, H, W, 3]`` in [0, 1] to latents, to observe them."""
        return params.codec.encode(frames)

    def _forward(self, params, x, t, prepared: Prepared, context: Context, *, collect=None):
        times = jnp.broadcast_to(t, (x.shape[0], 1))
        model = bind(DemoDiT, self.config, params.model)
        return model(patchify(x), times, prepared.camera, prepared.rope, context=context, collect=collect)
