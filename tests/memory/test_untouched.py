"""Memory of a CPU is taken as a bank fills, not when it is made."""

import functools
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from worldkv_jax.memory import BankConfig, KVSpan, KVSpec, MemoryConfig, WorldMemory, remember
from worldkv_jax.memory.untouched import zeros

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the system does not say what is resident")
MEGABYTE = 2**20


def resident() -> float:
    """Return the megabytes that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / MEGABYTE


@functools.partial(jax.jit, donate_argnums=0)
def write(rows: jax.Array, row: jax.Array, index: int) -> jax.Array:
    return jax.lax.dynamic_update_slice(rows, row[None], (index, 0))


def test_zeros_are_held_once_they_are_written():
    row = jnp.ones(MEGABYTE // 4)
    write(jnp.zeros((2, len(row))), row, 0).block_until_ready()  # compiled for another size, but much is loaded
    before = resident()
    rows = zeros((96, len(row)), jnp.float32)
    assert resident() - before < 8
    rows = write(rows, row, 5).block_until_ready()
    assert resident() - before < 48
    np.testing.assert_array_equal(rows.sum(axis=1), np.where(np.arange(96) == 5, len(row), 0))


def test_a_bank_grows_with_what_it_stores():
    spec = KVSpec(layers=2, heads=2, head_dim=64, tokens_per_frame=192, chunk_frames=3, dtype="float32")
    config = MemoryConfig(bank=BankConfig(capacity=128, storage="model"))
    before = resident()
    memory = WorldMemory.create(config, spec, chunks=128)
    whole = sum(leaf.nbytes for leaf in jax.tree.leaves(memory.bank.slots)) / MEGABYTE
    assert whole > 64 and resident() - before < whole / 4
    own = KVSpan(*2 * (jnp.ones(spec.shape(1, spec.chunk_tokens)),))
    step = jax.jit(remember, donate_argnums=0)
    for _ in range(4):
        memory = step(memory, own, jnp.broadcast_to(jnp.eye(4), (1, 3, 4, 4)))
    jax.block_until_ready(memory)
    assert resident() - before < whole / 2 + 16
