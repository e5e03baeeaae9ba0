"""The demo model generates with a memory exactly as it was trained without one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ports.demo_world import codec, renderer
from ports.demo_world.backbone import DemoParams, DemoWorld
from ports.demo_world.model import (
    CELLS,
    CHUNK_FRAMES,
    TOKENS,
    DemoConfig,
    DemoDiT,
    ray_features,
)
from ports.demo_world.training.objective import predict_flow
from ports.demo_world.training.training_data import level_poses, sample_batch, side_by_side
from ports.wan.nn.parameters import init_params
from ports.wan.nn.patches import patchify, unpatchify
from worldkv_jax.memory import MemoryConfig, recall
from worldkv_jax.rollout import ChunkInput, observe_chunk, start

CONFIG = DemoConfig(dim=32, heads=2, layers=2, ffn_dim=48, frequency_dim=16)


@pytest.fixture(scope="module")
def world():
    rooms = jax.tree.map(jnp.asarray, renderer.make_rooms(3, 2))
    weights = codec.fit_codec(np.random.default_rng(0).uniform(size=(4, 32, 48, 3)).astype(np.float32))
    weights = jax.tree.map(jnp.asarray, weights)
    params = init_params(DemoDiT, CONFIG, 0)
    return DemoWorld(CONFIG), DemoParams(params, weights), rooms


def test_patchify_is_undone():
    cells = jax.random.normal(jax.random.key(0), (2, 3, 8, 12, 20))
    np.testing.assert_array_equal(unpatchify(patchify(cells), *CELLS), cells)
    assert patchify(cells).shape == (2, 3 * TOKENS, 80)
    # The first token is the upper left block of cells, row by row.
    np.testing.assert_array_equal(patchify(cells)[0, 0], cells[0, 0, :2, :2].reshape(-1))


def test_codec_keeps_what_it_keeps(world):
    _, params, _ = world
    basis = params.codec.basis
    np.testing.assert_allclose(basis.T @ basis, np.eye(codec.CHANNELS), atol=1e-5)
    latents = jax.random.normal(jax.random.key(1), (1, 8, 12, 20)) * 0.05
    pixels = codec.decode(params.codec, latents)
    assert pixels.shape == (1, 32, 48, 3)
    inside = float(jnp.mean((pixels > 0) & (pixels < 1)))
    assert inside > 0.99  # nothing clipped, so encoding must undo decoding
    np.testing.assert_allclose(codec.encode(params.codec, pixels), latents, atol=2e-3)


@pytest.mark.parametrize("past", ["gaps", "clips"])
def test_memory_gives_what_masked_training_gives(world, past):
    """A noisy chunk sees the same flow from cached clean chunks as in one masked forward over all chunks."""
    backbone, params, rooms = world
    chunks, own = 4, CHUNK_FRAMES * TOKENS
    key = jax.random.key(4)
    drawn = sample_batch(key, rooms, params.codec, size=2, chunks=chunks)
    poses = _poses(chunks)
    rays = jnp.broadcast_to(ray_features(poses[0], poses), (2, chunks * own, 24))
    batch = side_by_side(key, drawn.latents, rays, chunks)
    if past == "gaps":  # the last chunk alone is noisy, and nothing before it happens to be hidden
        order = jnp.arange(chunks)
        visible = jnp.broadcast_to(order[None] <= order[:, None], (2, chunks, chunks))
        batch = drawn._replace(rays=rays, frames=batch.frames[:, -chunks * CHUNK_FRAMES :], visible=visible)
    noisy = batch.t.shape[1] - chunks + jnp.arange(chunks) if past == "clips" else jnp.array([chunks - 1])
    t = jnp.zeros_like(batch.t).at[:, noisy].set(0.7)
    want = predict_flow(CONFIG, params.model, batch._replace(t=t), batch.latents).reshape(2, t.shape[1], own, 80)

    latents = unpatchify(drawn.latents, *CELLS)
    state = start(backbone, params, MemoryConfig(mode="full"), chunks=chunks, worlds=2)
    for i in range(chunks):
        cut = slice(i * CHUNK_FRAMES, (i + 1) * CHUNK_FRAMES)
        cameras = jnp.broadcast_to(poses[cut], (2, CHUNK_FRAMES, 4, 4))
        if past == "clips" or i == chunks - 1:
            context, _ = recall(state.memory, cameras)
            prepared = backbone.prepare_chunk(params, state.carry, ChunkInput(cameras), state.memory.chunk)
            got = backbone.flow(params, latents[:, cut], jnp.float32(0.7), prepared, context)
            np.testing.assert_allclose(patchify(got), want[:, noisy[i - chunks]], atol=2e-5)
        state = observe_chunk(backbone, params, state, ChunkInput(cameras), latents[:, cut])


def _poses(chunks):
    angle = 0.3 * jnp.arange(chunks * CHUNK_FRAMES, dtype=jnp.float32)
    return level_poses(angle, 0.2 * jnp.stack([jnp.sin(angle), jnp.cos(angle)], axis=-1))
