"""A rollout of LingBot-World with weights in eight bits, against the same in float32."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ports.wan.nn.quantized import quantize_blocks
from tests.wan.split_world import BACKBONE, CHUNKS, WORLDS, draw_params, memory, roll
from worldkv_jax.rollout import start

ERROR = {"int8": 0.014, "fp8": 0.035}
"""Largest error of a chunk's latents, relative to their size."""


@pytest.mark.long
def test_latents_stay_close_over_a_rollout_that_remembers():
    """Kernels drawn so that every layer counts; memory is pruned and retrieved from, and compares what it rounded."""

    def latents(kind):
        params = draw_params()
        params = params._replace(dit=quantize_blocks(jax.tree.map(jnp.copy, params.dit), kind))
        return roll(params, start(BACKBONE, params, memory(), chunks=CHUNKS, worlds=WORLDS))[0].reshape(CHUNKS, -1)

    exact = latents(None)
    for kind, most in ERROR.items():
        error = np.linalg.norm(latents(kind) - exact, axis=1) / np.linalg.norm(exact, axis=1)
        assert most / 3 < error.max() < most
