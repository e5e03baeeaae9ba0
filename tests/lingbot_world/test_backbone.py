"""LingBot-World-Fast as a backbone: live cameras, conditions made elsewhere, any length, bfloat16, actions."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ports.lingbot_world.backbone import Given, LingBotWorld
from ports.lingbot_world.camera import camera_cells, make_lens, motion_scale
from ports.lingbot_world.config import TINY
from ports.lingbot_world.model import LingBotDiT
from ports.wan.backbone import WanParams
from ports.wan.nn.parameters import abstract_params
from ports.wan.program.first_frame import cells_of_chunk, mask_first
from tests.wan.released import random_params
from worldkv_jax.cameras import trajectory
from worldkv_jax.memory import DEFAULT, PAPER, MemoryConfig, WorldMemory
from worldkv_jax.memory.world_memory import window_context
from worldkv_jax.rollout import AttentionProbe, Backbone, ChunkInput, chunk_inputs, rollout, start

ROWS, COLUMNS, CHUNKS = 4, 6, 4
SIZE = (8 * ROWS, 8 * COLUMNS)
CAM = LingBotWorld(config=TINY, rows=ROWS, columns=COLUMNS)


def params_of(backbone):
    return WanParams(jax.device_put(random_params(abstract_params(LingBotDiT, backbone.config))), None)


@pytest.fixture(scope="module")
def params():
    return params_of(CAM)


@pytest.fixture(scope="module")
def given():
    """A camera path and the conditions of its chunks."""
    poses = trajectory("R40 W", 12 * CHUNKS)[::4]
    lens = make_lens(SIZE, scale=motion_scale(poses))
    rng = np.random.default_rng(1)
    image = np.asarray(mask_first(rng.standard_normal((1, 4, ROWS, COLUMNS, 16), np.float32)))
    prompt = rng.standard_normal((1, TINY.text_rows, TINY.text_dim), np.float32)
    return poses, [Given(lens, cells_of_chunk(image, chunk), prompt) for chunk in range(CHUNKS)]


def latents_of(backbone, params, chunks, memory=DEFAULT, count=CHUNKS):
    if memory.retrieval is not None:
        memory = dataclasses.replace(memory, retrieval=dataclasses.replace(memory.retrieval, chunks=2))
    world = start(backbone, params, memory, chunks=count)
    made, _ = rollout(backbone, params, world, chunks, key=jax.random.key(0), decode=False)
    return np.stack([chunk.latents for chunk in made])


def test_it_is_a_backbone():
    assert isinstance(CAM, Backbone) and isinstance(CAM, AttentionProbe)
    assert CAM.spec.tokens_per_frame == 6 and CAM.latent_shape == (3, 4, 6, 16)
    assert LingBotWorld().spec.tokens_per_frame == 1508 and LingBotWorld().spec.dtype == "bfloat16"
    assert hash(CAM) == hash(LingBotWorld(config=TINY, rows=ROWS, columns=COLUMNS))


@pytest.mark.parametrize(("rows", "columns"), [(5, 6), (4, 7), (0, 6)])
def test_sizes_that_cannot_be_cut_into_patches(rows, columns):
    with pytest.raises(ValueError, match="multiples of 16"):
        LingBotWorld(config=TINY, rows=rows, columns=columns)


def test_a_live_camera_makes_what_a_known_path_makes(params, given):
    poses, conditions = given
    chunks = chunk_inputs(poses, CAM.spec, conditions=conditions)
    known = latents_of(CAM, params, chunks)
    assert np.isfinite(known).all() and known.std() > 0.1
    np.testing.assert_array_equal(latents_of(CAM, params, iter(chunks)), known)
    # The camera matters, and so does its scale.
    turned = chunk_inputs(trajectory("L40 W", 12 * CHUNKS)[::4], CAM.spec, conditions=conditions)
    assert np.abs(latents_of(CAM, params, turned) - known).max() > 1e-3
    lens = conditions[0].camera._replace(scale=np.full((1,), 9.0, np.float32))
    other = [chunk._replace(conditions=chunk.conditions._replace(camera=lens)) for chunk in chunks]
    assert np.abs(latents_of(CAM, params, other) - known).max() > 1e-3


def test_camera_channels_may_be_made_elsewhere(params, given):
    poses, conditions = given
    chunks = chunk_inputs(poses, CAM.spec, conditions=conditions)
    made = []
    for before, chunk in zip([chunks[0], *chunks], chunks):
        previous = np.asarray(before.cameras)[:, -1] if before is not chunk else np.asarray(chunk.cameras)[:, 0]
        cells = jax.jit(camera_cells, static_argnums=3)(previous, chunk.cameras, chunk.conditions.camera, SIZE)
        made.append(chunk._replace(conditions=chunk.conditions._replace(camera=cells)))
    np.testing.assert_allclose(latents_of(CAM, params, made), latents_of(CAM, params, chunks), atol=1e-4)


@pytest.mark.parametrize("memory", [PAPER, MemoryConfig(mode="full"), MemoryConfig(mode="sliding", recent_frames=3)])
def test_short_videos_under_other_memories(params, given, memory):
    """The first chunk has no past, so all memories agree on it; each chunk attends to itself in all of them."""
    chunks = chunk_inputs(given[0], CAM.spec, conditions=given[1])
    known, other = latents_of(CAM, params, chunks), latents_of(CAM, params, chunks, memory)
    np.testing.assert_allclose(other[0], known[0], atol=1e-5)
    assert np.isfinite(other).all()


def test_a_rollout_may_be_longer_than_the_released_table(params, given):
    """Frame 1024 and later have positions of their own."""
    poses, conditions = given
    chunk = ChunkInput(jax.device_put(poses[None, :3]), conditions[1])
    ropes = []
    prepare = jax.jit(CAM.prepare_chunk)
    for position in (340, 341, 342, 100_000):
        prepared = prepare(params, poses[None, 0], chunk, jnp.int32(position))
        ropes.append(np.asarray(prepared.rope[0]))
    assert all(np.abs(a - b).max() > 0.1 for a, b in itertools.combinations(ropes, 2))


def test_bfloat16_stays_near_float32(params, given):
    poses, conditions = given
    half = LingBotWorld(config=dataclasses.replace(TINY, dtype="bfloat16"), rows=ROWS, columns=COLUMNS)
    small = WanParams(jax.tree.map(lambda a: np.asarray(a).astype(jnp.bfloat16), params.dit), None)
    x, t = jax.random.normal(jax.random.key(3), (1, *CAM.latent_shape)), jnp.float32(825)
    chunk = ChunkInput(jax.device_put(poses[None, :3]), conditions[0])
    flows = []
    for backbone, weights in ((CAM, params), (half, small)):
        memory = WorldMemory.create(MemoryConfig(mode="full"), backbone.spec, chunks=1)
        assert memory.window.ring.keys.dtype == backbone.config.dtype
        prepared = jax.jit(backbone.prepare_chunk)(weights, backbone.init_carry(weights, 1), chunk, jnp.int32(0))
        flows.append(jax.jit(backbone.flow)(weights, x, t, prepared, window_context(memory)))
    assert flows[1].dtype == jnp.float32
    np.testing.assert_allclose(flows[1], flows[0], atol=0.05 * np.asarray(flows[0]).std() + 0.02)


@pytest.mark.long
def test_keys_steer_a_checkpoint_of_actions(given):
    poses, conditions = given
    backbone = LingBotWorld(config=dataclasses.replace(TINY, control="act"), rows=ROWS, columns=COLUMNS)
    params = params_of(backbone)

    def pressed(key):
        keys = jnp.zeros((1, 3, 4)).at[..., key].set(1.0)
        return [one._replace(camera=one.camera._replace(actions=keys)) for one in conditions]

    forward, left = (
        latents_of(backbone, params, chunk_inputs(poses, backbone.spec, conditions=pressed(key))) for key in (0, 1)
    )
    assert np.abs(forward - left).max() > 1e-3


def test_worlds_in_a_batch(params, given):
    """Two worlds at once make what each makes alone."""
    poses, conditions = given
    noise = np.random.default_rng(5).standard_normal((CHUNKS, CAM.schedule.steps, 2, *CAM.latent_shape), np.float32)
    both = [jax.tree.map(lambda a: np.concatenate([a, a]), one) for one in conditions]
    paths = np.stack([poses, trajectory("L40 W", 12 * CHUNKS)[::4]])
    memory = dataclasses.replace(DEFAULT, retrieval=dataclasses.replace(DEFAULT.retrieval, chunks=2))

    def run(worlds, poses, given, noise):
        world = start(CAM, params, memory, chunks=CHUNKS, worlds=worlds)
        chunks = chunk_inputs(poses, CAM.spec, conditions=given)
        made, _ = rollout(CAM, params, world, chunks, noise=lambda i: noise[i], decode=False)
        return np.stack([chunk.latents for chunk in made])

    together = run(2, paths, both, noise)
    for world in range(2):
        alone = run(1, paths[world], conditions, noise[:, :, world : world + 1])
        np.testing.assert_allclose(together[:, world], alone[:, 0], atol=1e-4)
