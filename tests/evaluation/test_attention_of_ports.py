"""Every port can be asked where it looks."""

import jax
import numpy as np
import pytest

from ports.wan.program.first_frame import cells_of_chunk, mask_first
from tests.inspatio_world import worlds as inspatio
from tests.lingbot_world import test_backbone as lingbot
from tests.matrix_game2 import worlds as matrix_game
from worldkv_jax.evaluation.attention import attention_map
from worldkv_jax.memory import MemoryConfig
from worldkv_jax.rollout import AttentionProbe, chunk_inputs, rollout, start
from worldkv_jax.rollout.chunk_step import mean_query, prepare

CHUNKS = 4


def of_lingbot():
    image = mask_first(jax.random.normal(jax.random.key(1), (1, 4, lingbot.ROWS, lingbot.COLUMNS, 16)))
    poses = lingbot.trajectory("R40 W", 12 * CHUNKS)[::4]
    lens = lingbot.make_lens(lingbot.SIZE, scale=lingbot.motion_scale(poses))
    prompt = jax.random.normal(jax.random.key(2), (1, lingbot.TINY.text_rows, lingbot.TINY.text_dim))
    given = [lingbot.Given(lens, cells_of_chunk(image, chunk), prompt) for chunk in range(CHUNKS)]
    return lingbot.CAM, lingbot.params_of(lingbot.CAM), chunk_inputs(poses, lingbot.CAM.spec, conditions=given)


def of_matrix_game():
    backbone, params = matrix_game.tiny("universal")
    inputs = matrix_game.inputs(matrix_game.VARIANTS["universal"], [["w"] * 60])
    return backbone, params, inputs[:CHUNKS]


def of_inspatio():
    return inspatio.backbone(), inspatio.params(), inspatio.inputs(CHUNKS, known=0.5)


def assert_only_means_are_held(backbone, params, world, chunk, x, seen):
    """Retrieval takes the mean queries alone: its program has no array of all layers' queries and keys."""
    prepared = prepare(params, world.carry, chunk, world.position, backbone=backbone)
    program = mean_query.lower(params, x, prepared, seen.context, backbone=backbone).compile().as_text()
    for array in (seen.queries.query, seen.queries.keys):
        assert f"[{','.join(map(str, array.shape))}]" not in program


LONG = [pytest.param(port, marks=pytest.mark.slow) for port in (of_matrix_game, of_inspatio)]


@pytest.mark.long
@pytest.mark.parametrize("port", [of_lingbot, *LONG])
def test_a_port_says_where_it_looks(port):
    backbone, params, inputs = port()
    assert isinstance(backbone, AttentionProbe)
    world = start(backbone, params, MemoryConfig(mode="full"), chunks=CHUNKS)
    _, world = rollout(backbone, params, world, inputs[:-1], key=jax.random.key(0), decode=False)
    x = jax.random.normal(jax.random.key(1), (1, *backbone.latent_shape))
    seen = attention_map(backbone, params, world, inputs[-1], x, backbone.schedule.times[0], chunks=CHUNKS)
    remembered = int(world.memory.chunk)
    assert seen.mass.shape[-1] == CHUNKS and (seen.mass[..., :remembered] > 0).all()
    assert not seen.mass[..., remembered:].any() and (seen.mass.sum(-1) < 1).all()
    assert_only_means_are_held(backbone, params, world, inputs[-1], x, seen)
    np.testing.assert_allclose(seen.queries.mean, seen.queries.query.mean(axis=2), atol=1e-5)
