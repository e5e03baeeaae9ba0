"""The demo model generates with a memory exactly as it was trained without one."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ports.demo_world.backbone import DemoParams, DemoWorld
from ports.demo_world.codec import fit_codec
from ports.demo_world.model import (
    GRID,
    TOKENS,
    DemoConfig,
    DemoDiT,
    ray_features,
)
from ports.demo_world.training.objective import predict_flow
from ports.demo_world.training.training_data import sample_batch, side_by_side
from ports.demo_world.worlds.families import FAMILIES, ROOMS
from ports.demo_world.worlds.pinhole import level_poses
from ports.demo_world.worlds.sizes import CELLS, CHUNK_FRAMES
from ports.wan.nn.chunk_attention import ChunkMask
from ports.wan.nn.parameters import bind, init_params
from ports.wan.nn.patches import patchify, unpatchify
from worldkv_jax.memory import MemoryConfig, recall
from worldkv_jax.rollout import ChunkInput, observe_chunk, start

CONFIG = DemoConfig(dim=32, heads=2, layers=2, ffn_dim=48, frequency_dim=16)


@pytest.fixture(scope="module")
def world():
    rooms = jax.device_put(ROOMS.make(3, 2))
    noise = np.random.default_rng(0).uniform(size=(4, 32, 48, 3)).astype(np.float32)
    codec = jax.device_put(fit_codec(noise, cell=4, channels=20))
    params = init_params(DemoDiT, CONFIG, 0)
    return DemoWorld(CONFIG), DemoParams(params, codec), rooms


def test_patchify_is_undone():
    cells = jax.random.normal(jax.random.key(0), (2, 3, 8, 12, 20))
    np.testing.assert_array_equal(unpatchify(patchify(cells), *CELLS), cells)
    assert patchify(cells).shape == (2, 3 * TOKENS, 80)
    # The first token is the upper left block of cells, row by row.
    np.testing.assert_array_equal(patchify(cells)[0, 0], cells[0, 0, :2, :2].reshape(-1))


def test_codec_keeps_what_it_keeps(world):
    _, params, _ = world
    basis = params.codec.basis
    np.testing.assert_allclose(basis.T @ basis, np.eye(ROOMS.channels), atol=1e-5)
    latents = jax.random.normal(jax.random.key(1), (1, 8, 12, 20)) * 0.05
    pixels = params.codec.decode(latents)
    assert pixels.shape == (1, 32, 48, 3)
    inside = float(jnp.mean((pixels > 0) & (pixels < 1)))
    assert inside > 0.99  # nothing clipped, so encoding must undo decoding
    np.testing.assert_allclose(params.codec.encode(pixels), latents, atol=2e-3)


@pytest.mark.long
@pytest.mark.parametrize(("past", "predicts"), [("gaps", "flow"), ("clips", "flow"), ("clips", "residual")])
def test_memory_gives_what_masked_training_gives(world, past, predicts):
    """A noisy chunk sees the same flow from cached clean chunks as in one masked forward over all chunks."""
    _, params, rooms = world
    backbone = DemoWorld(dataclasses.replace(CONFIG, predicts=predicts))
    chunks, own = 4, CHUNK_FRAMES * TOKENS
    key = jax.random.key(4)
    drawn = sample_batch(key, rooms, params.codec, family=ROOMS, size=2, chunks=chunks, past="gaps")
    poses = _poses(chunks)
    rays = jnp.broadcast_to(ray_features(poses[0], poses), (2, chunks * own, 24))
    batch = side_by_side(key, drawn.latents, rays, chunks)
    if past == "gaps":  # the last chunk alone is noisy, and nothing before it happens to be hidden
        order = jnp.arange(chunks)
        visible = jnp.broadcast_to(order[None] <= order[:, None], (2, chunks, chunks))
        batch = drawn._replace(
            rays=rays, frames=batch.frames[:, -chunks * CHUNK_FRAMES :], visible=ChunkMask.causal(visible)
        )
    noisy = batch.t.shape[1] - chunks + jnp.arange(chunks) if past == "clips" else jnp.array([chunks - 1])
    t = jnp.zeros_like(batch.t).at[:, noisy].set(0.7)
    want = predict_flow(backbone.config, params.model, batch._replace(t=t), batch.latents).reshape(
        2, t.shape[1], own, 80
    )

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


def test_the_flow_of_a_residual_is_guessed_with_the_least_error(world):
    """The head's numbers are what the best line through (noisy token, flow) leaves over, at every noise level."""
    _, params, _ = world
    clean, noise = np.random.default_rng(0).normal(size=(2, 1, 3 * TOKENS, 80)).astype(np.float32)
    clean *= 0.5
    rays = jnp.zeros((1, 3 * TOKENS, 24))
    for time in (0.2, 0.7, 1.0):
        noisy = (1 - time) * clean + time * noise
        flows = []
        for predicts in ("residual", "flow"):
            model = bind(DemoDiT, dataclasses.replace(CONFIG, predicts=predicts), params.model)
            rope = CONFIG.rope.grid(jnp.arange(3), *GRID)
            flows.append(model(jax.device_put(noisy), jnp.full((1, 1), time), model.prepare_camera(rays), rope)[0])
        slope, _ = np.polyfit(noisy.ravel(), (noise - clean).ravel(), 1)
        np.testing.assert_allclose(flows[0] - flows[1], slope * noisy, atol=0.1)
    with pytest.raises(ValueError, match="prediction"):
        DemoConfig(predicts="noise")


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_one_model_fits_every_family(family):
    backbone = DemoWorld(dataclasses.replace(CONFIG, world=family.name))
    noise = np.random.default_rng(0).uniform(size=(2, *family.size, 3)).astype(np.float32)
    params = DemoParams({}, fit_codec(noise, cell=family.cell, channels=family.channels))
    latents = backbone.encode(params, jax.device_put(noise)[None, :1].repeat(3, axis=1))
    assert latents.shape == (1, *backbone.latent_shape)
    assert backbone.decode(params, latents, None)[0].shape == (1, 3, *family.size, 3)
    assert patchify(latents).shape == (1, 3 * TOKENS, backbone.config.token_channels)


def _poses(chunks):
    angle = 0.3 * jnp.arange(chunks * CHUNK_FRAMES, dtype=jnp.float32)
    return level_poses(angle, 0.2 * jnp.stack([jnp.sin(angle), jnp.cos(angle)], axis=-1))
