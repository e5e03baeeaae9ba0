"""Chunks stored in eight bits or as bits: how far keys and values may be off, what they cost, what stays exact."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.memory.walks import EVERYTHING, SPEC, picked, walk, worldkv
from tests.rollout.worlds import BACKBONE
from worldkv_jax import memory as wm
from worldkv_jax.memory.quantization import STORAGES, dequantize, quantize, stored_bytes, stored_shape
from worldkv_jax.memory.report import bytes_by_tier, capacity_by_tier
from worldkv_jax.sessions.plan import Cost, make_plan

EIGHT_BITS = ("int8", "float8")
SHAPE = (2, 3, 4, 16)  # layers, tokens, heads, head dim


def there_and_back(x, storage: str) -> np.ndarray:
    keys, values = _there_and_back(wm.KVSpan(x, x), storage)
    np.testing.assert_array_equal(keys, values)
    return np.asarray(keys)


@functools.partial(jax.jit, static_argnums=1)
def _there_and_back(span: wm.KVSpan, storage: str) -> wm.KVSpan:
    return dequantize(quantize(span, storage, "float32"), "float32")


def random(seed=0, shape=SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_int8_is_off_by_half_a_step_of_its_own_head_at_most():
    x = random() * np.exp(3 * random(1, (*SHAPE[:-1], 1)))  # heads and tokens of very unequal size
    step = np.abs(x).max(axis=-1, keepdims=True) / 127
    assert (np.abs(there_and_back(x, "int8") - x) <= 0.5001 * step).all()


def test_float8_is_off_by_a_sixteenth_at_most_and_by_nothing_near_zero():
    x = random() * np.exp(3 * random(1, (*SHAPE[:-1], 1)))
    largest = np.abs(x).max(axis=-1, keepdims=True)
    smallest_step = largest / 448 * 2.0**-9
    assert (np.abs(there_and_back(x, "float8") - x) <= 2.0**-4 * np.abs(x) + smallest_step).all()


@pytest.mark.parametrize("storage", EIGHT_BITS)
def test_the_outlier_of_one_head_costs_no_other_head_or_token_anything(storage):
    x = random()
    with_outlier = x.copy()
    with_outlier[1, 2, 3, 0] = 1e4
    got, want = there_and_back(with_outlier, storage), there_and_back(x, storage)
    same = np.ones(SHAPE[:-1], bool)
    same[1, 2, 3] = False
    np.testing.assert_array_equal(got[same], want[same])
    assert got[1, 2, 3, 0] == pytest.approx(1e4)


@pytest.mark.parametrize("storage", EIGHT_BITS)
@pytest.mark.parametrize("size", [0.0, 1e-30, 1.0, 448.0, 1e30])
def test_every_size_of_numbers_comes_back(storage, size):
    x = np.full(SHAPE, size, np.float32)
    x[..., ::2] *= -1
    np.testing.assert_allclose(there_and_back(x, storage), x, rtol=1e-6)


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_shapes_and_bytes_are_those_of_what_is_packed(storage, dtype):
    x = jnp.asarray(random(), dtype)
    packed = jax.eval_shape(lambda x: quantize(wm.KVSpan(x, x), storage, dtype), x)
    assert packed == stored_shape(SHAPE, storage, dtype)
    assert jax.eval_shape(lambda packed: dequantize(packed, dtype), packed).keys.dtype == dtype
    counted = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(packed))
    assert stored_bytes(SHAPE, storage, dtype) == counted


def test_at_head_dim_128_the_scales_are_three_percent():
    shape = (1, 10, 4, 128)
    assert stored_bytes(shape, "int8", "bfloat16") / stored_bytes(shape, "model", "bfloat16") == (128 + 4) / 256


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("tier", ["device", "host"])
def test_bits_give_back_the_same_numbers(dtype, tier):
    spec = dataclasses.replace(SPEC, dtype=dtype)
    exact, bits = (walk(worldkv(capacity=6, tier=tier, storage=storage), 7, spec=spec) for storage in ("model", "bits"))
    for want, got in zip(exact, bits):
        for ours, theirs in zip(got.context.span, want.context.span):
            assert ours.dtype == theirs.dtype == dtype
            np.testing.assert_array_equal(ours, theirs)
    assert len(picked(want.picks)) == 2
    assert all(jnp.issubdtype(leaf.dtype, jnp.unsignedinteger) for leaf in jax.tree.leaves(got.memory.bank.slots))


@pytest.mark.parametrize("storage", EIGHT_BITS)
@pytest.mark.parametrize("compression", [EVERYTHING, wm.CompressionConfig(keep_ratio=0.5)])
def test_only_retrieved_rows_are_rounded_and_the_same_chunks_are_picked(storage, compression):
    exact = walk(worldkv(compression=compression, capacity=6), 7)
    rounded = walk(worldkv(compression=compression, capacity=6, storage=storage), 7)
    for want, got in zip(exact, rounded):
        assert picked(got.picks) == picked(want.picks) and int(got.context.length) == int(want.context.length)
        np.testing.assert_array_equal(got.picks.scores, want.picks.scores)
        window = 6 * SPEC.tokens_per_frame  # sink and recent frames stay as they are
        for ours, theirs in zip(got.context.span, want.context.span):
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours[:, :, :window], theirs[:, :, :window])
            tolerance = np.abs(theirs).max(axis=-1, keepdims=True) * (1 / 250 if storage == "int8" else 1 / 15)
            assert (np.abs(ours - theirs) <= tolerance).all()
    assert len(picked(want.picks)) == 2 and (np.asarray(got.context.span.keys) != want.context.span.keys).any()


@pytest.mark.parametrize("tier", ["device", "pinned_host", "host"])
@pytest.mark.parametrize("storage", EIGHT_BITS)
def test_bytes_are_those_of_the_buffers(tier, storage):
    config = worldkv(tier=tier, capacity=4, storage=storage, compression=wm.CompressionConfig(keep_tokens=6))
    *_, step = walk(config, 5)
    sizes = bytes_by_tier(step.memory.layout, 5)
    window = sum(leaf.nbytes for leaf in jax.tree.leaves(step.memory.window))
    bank = sum(leaf.nbytes for leaf in jax.tree.leaves(step.memory.bank.slots))
    assert sum(sizes.values()) == window + bank and sizes == capacity_by_tier(step.memory.layout)
    assert f"in {tier} memory as {storage};" in repr(step.memory)


def test_plans_count_what_is_stored_and_what_travels():
    cost, sizes = Cost(weights_bytes=0, passes=1, pass_flops=0.0), {"chunks": 9, "worlds": 2}
    whole = make_plan(BACKBONE, worldkv(tier="host"), cost, **sizes)
    small = make_plan(BACKBONE, worldkv(tier="host", storage="int8"), cost, **sizes)
    share = (8 + 4) / (8 * 4)  # head dim 8 in float32
    assert small.host_bytes == share * whole.host_bytes and small.link_bytes == share * whole.link_bytes


def test_unknown_storage_is_refused_by_name():
    with pytest.raises(ValueError, match=r"storage of the bank.*int4.*int8"):
        wm.BankConfig(storage="int4")
    assert dataclasses.replace(wm.DEFAULT.bank, storage="int8") == wm.BankConfig(storage="int8")
