"""Remembering under jit with donation writes every buffer where it lies."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from tests.memory.walks import SPEC, poses, remember, span, worldkv
from worldkv_jax import memory as wm
from worldkv_jax.memory.report import capacity_by_tier

CONFIGS = {
    "worldkv": worldkv(capacity=6),
    "pruned": worldkv(capacity=6, compression=wm.CompressionConfig(keep_ratio=0.25)),
    "int8": worldkv(capacity=6, storage="int8", compression=wm.CompressionConfig(keep_ratio=0.25)),
    "float8": worldkv(capacity=4, storage="float8", when_full="drop_oldest"),
    "drop oldest": worldkv(capacity=4, when_full="drop_oldest"),
    "drop most redundant": worldkv(capacity=4, when_full="drop_most_redundant"),
    "full": wm.MemoryConfig(mode="full"),
    "sink and recent": wm.MemoryConfig(mode="sink_recent", sink_frames=4, recent_frames=5),
}


def buffers(memory: wm.WorldMemory) -> dict[str, int]:
    """Addresses of the keys and values, by place in the memory."""
    parts = {"window": memory.window, "bank": memory.bank and memory.bank.slots}
    leaves = jax.tree.leaves_with_path(parts)
    return {jax.tree_util.keystr(path): a.unsafe_buffer_pointer() for path, a in leaves if a.size}


@pytest.mark.parametrize("name", CONFIGS)
def test_buffers_stay_where_they_are(name):
    memory = wm.WorldMemory.create(CONFIGS[name], SPEC, chunks=8)
    memory = jax.device_put(memory, jax.devices()[0])
    memory = remember(memory, span(0), jax.device_put(poses(1)[0]))
    before = buffers(memory)
    for chunk in range(1, 7):
        memory = remember(memory, span(chunk), jax.device_put(poses(1, seed=chunk)[0]))
        assert buffers(memory) == before


@pytest.mark.parametrize("tier", ["pinned_host", "host"])
def test_the_window_of_a_host_tier_stays_where_it_is(tier):
    memory = wm.WorldMemory.create(worldkv(tier=tier, capacity=6), SPEC)
    memory = jax.device_put(memory, jax.devices()[0])
    before = buffers(memory.replace(bank=None))
    for chunk in range(4):
        memory = wm.remember(memory, span(chunk), jax.device_put(poses(1, seed=chunk)[0]))
        assert buffers(memory.replace(bank=None)) == before


def test_a_reset_of_some_worlds_copies_no_bank():
    memories = jax.eval_shape(jax.vmap(lambda _: wm.WorldMemory.create(CONFIGS["int8"], SPEC, chunks=8)), jnp.arange(4))
    plan = jax.jit(wm.reset, donate_argnums=0).lower(memories, jax.ShapeDtypeStruct((4,), bool)).compile()
    plan = plan.memory_analysis()
    assert plan.temp_size_in_bytes < 0.1 * plan.alias_size_in_bytes


@pytest.mark.parametrize("name", CONFIGS)
def test_the_compiled_program_needs_no_second_bank(name):
    """All keys and values are aliased, and what is needed besides does not grow with the bank."""
    compiled, spec = {}, dataclasses.replace(SPEC, tokens_per_frame=64)
    own = jax.eval_shape(lambda: wm.KVSpan(*[jnp.zeros(spec.shape(1, spec.chunk_tokens))] * 2))
    for chunks in (8, 64):
        config = CONFIGS[name]
        if config.mode == "worldkv":
            config = dataclasses.replace(config, bank=dataclasses.replace(config.bank, capacity=chunks))
        memory = wm.WorldMemory.create(config, spec, chunks=chunks)
        plan = remember.lower(memory, own, jax.device_put(poses(1)[0])).compile().memory_analysis()
        assert plan.alias_size_in_bytes >= sum(capacity_by_tier(memory.layout).values())
        compiled[chunks] = plan.temp_size_in_bytes
    grown = capacity_by_tier(memory.layout)["device"]
    assert compiled[64] - compiled[8] < 0.1 * grown


@pytest.mark.parametrize("storage", ["model", "bits", "int8"])
@pytest.mark.parametrize("stacked", [False, True])
def test_nothing_in_half_precision_is_copied_with_a_bank(storage, stacked):
    """Nothing that a step needs grows with the bank: no copy and, but in bfloat16, no pass over what lies there."""
    needed = {}
    for chunks in (8, 64):
        spec = dataclasses.replace(SPEC, tokens_per_frame=64, dtype="bfloat16")
        given = jax.eval_shape(
            lambda spec=spec, chunks=chunks: (
                wm.WorldMemory.create(worldkv(storage=storage, capacity=chunks), spec),
                spec.zeros(1, spec.chunk_tokens),
                jnp.zeros((1, spec.chunk_frames, 4, 4)),
            )
        )
        if stacked:
            given = jax.tree.map(lambda a: jax.ShapeDtypeStruct((4, *a.shape), a.dtype), given)
        verb = jax.vmap(wm.remember) if stacked else wm.remember
        compiled = jax.jit(lambda *given, verb=verb: verb(*given), donate_argnums=0).lower(*given).compile()
        needed[chunks] = [compiled.memory_analysis().temp_size_in_bytes]
        if not stacked and storage != "model":  # a scatter is a loop, of which XLA counts all that goes through
            needed[chunks].append(compiled.cost_analysis()["bytes accessed"])
    assert needed[64] == needed[8]
