"""A backbone that knows a chunk's keys and values only while it makes the next one."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest

from tests.memory.walks import worldkv
from tests.rollout.tiny_backbone import TinyBackbone
from tests.rollout.worlds import PARAMS, latents, noise, views
from worldkv_jax import rollout as ro


class Before(NamedTuple):
    """The chunk made last."""

    viewed: ro.CommittedSpan
    count: jnp.ndarray


class LaggingBackbone(TinyBackbone):
    """Hands on every chunk one chunk late; otherwise the tiny backbone."""

    lag = 1

    def init_carry(self, params, worlds):
        """Know no chunk."""
        return None

    def prepare_chunk(self, params, carry, chunk, position):
        """Keep the cameras with what the tiny backbone prepares."""
        return super().prepare_chunk(params, position, chunk, position), carry, chunk.cameras

    def flow(self, params, x, t, prepared, context):
        """Predict the flow."""
        return super().flow(params, x, t, prepared[0], context)

    def commit(self, params, x0, prepared, context):
        """Return the chunk before this one."""
        prepared, before, cameras = prepared
        own, _ = super().commit(params, x0, prepared, context)
        return None if before is None else before.viewed, Before(ro.CommittedSpan(own, cameras), prepared.carry)


@pytest.mark.parametrize("tier", ["device", "host"])
def test_chunks_are_remembered_late_under_their_own_cameras(tier):
    backbone, inputs = LaggingBackbone(), views(6)
    config = worldkv(tier=tier, sink_frames=0, recent_frames=0)
    world = ro.start(backbone, PARAMS, config, chunks=6)
    made, world = ro.rollout(backbone, PARAMS, world, inputs[:4], noise=noise, decode=False)
    assert int(world.position) == 4 and int(world.memory.chunk) == 3
    assert [chunk.retrieved.shape[1] for chunk in made] == [0, 0, 1, 2]
    want = ro.chunk_inputs(np.concatenate([v.cameras[0] for v in inputs[:3]]), backbone.spec)
    described = [config.retrieval.rule.describe(v.cameras[0], None) for v in want]
    np.testing.assert_array_equal(world.memory.bank.index.descriptions[:3, 0], np.stack(described))
    assert [chunk.attended_tokens for chunk in made] == [0, 0, 12, 24]
    rest, _ = ro.rollout(backbone, PARAMS, world, inputs[4:], noise=noise, decode=False)
    assert [chunk.index for chunk in rest] == [4, 5]
    whole, _ = ro.rollout(
        backbone, PARAMS, ro.start(backbone, PARAMS, config, chunks=6), inputs, noise=noise, decode=False
    )
    np.testing.assert_array_equal(latents(made + rest), latents(whole))
