"""Attention of the real models compiled for a TPU that is not there; needs the extra ``tpu``."""

import importlib.util

import jax
import jax.numpy as jnp
import pytest
from jax.experimental import topologies
from jax.sharding import SingleDeviceSharding

from kernels_pallas.attention import splash

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="needs libtpu: install the extra tpu"),
]
# Queries, rows and heads of a chunk under DEFAULT; heads are 128 wide.
SIZES = {
    "lingbot-world-fast": (4524, 27144, 40),
    "matrix-game-2": (2640, 15840, 12),
    "inspatio-world": (4680, 28080, 12),
}


@pytest.mark.parametrize("model", SIZES)
def test_no_logits_are_written_to_memory(model, monkeypatch):
    monkeypatch.setenv("TPU_SKIP_MDS_QUERY", "1")
    monkeypatch.setenv("TPU_WORKER_HOSTNAMES", "localhost")
    topology = topologies.get_topology_desc(platform="tpu", topology_name="v5e:2x2")
    place = SingleDeviceSharding(topology.devices[0])

    def described(*shape, dtype=jnp.bfloat16):
        return jax.ShapeDtypeStruct(shape, dtype, sharding=place)

    tokens, rows, heads = SIZES[model]
    key = described(1, rows, heads, 128)
    compiled = jax.jit(splash.attention).lower(
        described(1, tokens, heads, 128), key, key, described(1, dtype=jnp.int32)
    )
    sizes = compiled.compile().memory_analysis()
    assert sizes.temp_size_in_bytes < 2 * sizes.argument_size_in_bytes < 2 * tokens * rows * heads
