"""What the demo model is trained on: the flow of noisy chunks that see clean ones."""

import jax
import jax.numpy as jnp

from ports.demo_world.codec import Codec
from ports.demo_world.model import GRID, TOKENS, DemoConfig, DemoDiT
from ports.demo_world.training.training_data import Batch
from ports.demo_world.worlds.sizes import CHUNK_FRAMES
from ports.wan.nn.layers import along_last
from ports.wan.nn.parameters import bind
from ports.wan.nn.patches import PATCH

CHUNK_TOKENS = CHUNK_FRAMES * TOKENS


def importance_of(codec: Codec, visible: float) -> jax.Array:
    """Return what each number of a token counts in the loss ``[c]``, 1 on average: its visibility to a power."""
    cell = codec.visibility**visible
    return jnp.tile(cell / cell.mean(), PATCH**2)


def predict_flow(config: DemoConfig, params: dict, batch: Batch, tokens: jax.Array) -> jax.Array:
    """Run all chunks of a batch at once, each seeing what ``batch.visible`` allows."""
    model = bind(DemoDiT, config, params)
    rope = config.rope.grid(batch.frames, *GRID)
    flow, _ = model(tokens, batch.t, model.prepare_camera(batch.rays), rope, mask=batch.visible)
    return flow


def flow_loss(config: DemoConfig, params: dict, batch: Batch, noise: jax.Array, importance: jax.Array) -> jax.Array:
    """Return the mean squared error of the flow on the noisy chunks; a token's numbers count by ``importance [c]``."""
    sigma = jnp.repeat(batch.t, CHUNK_TOKENS, axis=1)[..., None]
    flow = predict_flow(config, params, batch, (1 - sigma) * batch.latents + sigma * noise)
    error = jnp.square(flow - (noise - batch.latents))
    error = jnp.mean(along_last(importance, error) * error, axis=-1)
    noisy = (sigma[..., 0] > 0).astype(jnp.float32)
    return jnp.sum(error * noisy) / jnp.sum(noisy)
