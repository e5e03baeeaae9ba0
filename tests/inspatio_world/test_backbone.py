"""InSpatio-World as a backbone: its carry, what it remembers, and when it retrieves."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ports.inspatio_world.backbone import InSpatioWorld, Previous
from ports.inspatio_world.config import TINY
from ports.inspatio_world.memory import NATIVE, default_memory
from tests.inspatio_world.worlds import backbone, compiled, inputs, out_and_back, params, run
from worldkv_jax.memory import BankConfig, Context, KVSpan, MemoryConfig, WorldMemory
from worldkv_jax.rollout import Backbone, chunk_inputs, rollout, start

CHUNKS = 8


def latents(made) -> np.ndarray:
    return np.stack([chunk.latents for chunk in made])


def remembering(**changes) -> MemoryConfig:
    memory = default_memory(CHUNKS)
    return dataclasses.replace(memory, retrieval=dataclasses.replace(memory.retrieval, **{"chunks": 2, **changes}))


@pytest.fixture(scope="module")
def native():
    return latents(run(NATIVE, CHUNKS)[0])


@pytest.fixture(scope="module")
def remembered():
    return run(remembering(), CHUNKS)


def test_it_is_a_backbone():
    assert isinstance(backbone(), Backbone)
    assert hash(backbone()) == hash(backbone())


@pytest.mark.long
def test_out_and_back_retrieves_the_way_out(remembered):
    made, world = remembered
    picks = {chunk.index: chunk.retrieved[0].tolist() for chunk in made}
    assert picks[0] == picks[1] == []
    assert picks[2] == [0]
    # Chunk 4 + i shows again what chunk 3 - i showed; the one just before is no candidate.
    assert [picks[index][0] for index in (5, 6, 7)] == [2, 1, 0]
    assert int(world.memory.chunk) == CHUNKS - 1  # the last chunk's keys are not known yet
    assert world.memory.bank.index.chunks.tolist()[: CHUNKS - 1] == list(range(CHUNKS - 1))


@pytest.mark.long
def test_what_was_retrieved_changes_the_output_from_there_on(remembered, native):
    made = latents(remembered[0])
    np.testing.assert_allclose(made[:2], native[:2], atol=1e-5)
    assert np.abs(made[2] - native[2]).max() > 1e-3


@pytest.mark.long
def test_nothing_retrieved_is_the_released_model(native):
    """With a memory whose chunks are shut out by the gate, all is as without a memory."""
    shut = backbone(least_unknown=1.0)
    made, _ = run(remembering(), CHUNKS, model=shut)
    assert sum(chunk.retrieved.shape[1] for chunk in made) > 0
    np.testing.assert_allclose(latents(made), native, atol=1e-5)


def test_gate_is_each_worlds_own():
    chunk = inputs(1, worlds=2)[0]
    mask = chunk.conditions.mask.at[0].set(1.0).at[1].set(-1.0)  # the source knows all of one and nothing of the other
    chunk = chunk._replace(conditions=chunk.conditions._replace(mask=mask))
    model = backbone(least_unknown=0.5)
    prepared = compiled(model, "prepare_chunk")(params(), None, chunk, jnp.int32(0))
    x = jax.random.normal(jax.random.key(0), (2, *model.latent_shape))
    rows = jax.random.normal(jax.random.key(1), (2, *model.spec.shape(2, 8)))

    def flow(length):
        context = Context((KVSpan(*rows),), jnp.int32(length))
        return compiled(model, "flow")(params(), x, jnp.float32(500), prepared, context)

    alone, retrieved = flow(0), flow(8)
    np.testing.assert_allclose(retrieved[0], alone[0], atol=1e-6)
    assert np.abs(retrieved[1] - alone[1]).max() > 1e-3


def test_a_batch_of_worlds_is_the_worlds_one_by_one():
    chunk, prepare = inputs(1, worlds=2)[0], compiled(backbone(), "prepare_chunk")
    together = prepare(params(), None, chunk, jnp.int32(0))
    for b in range(2):
        alone = prepare(params(), None, jax.tree.map(lambda a: a[b : b + 1], chunk), jnp.int32(0))  # noqa: B023
        np.testing.assert_allclose(together.live.keys[:, b], alone.live.keys[:, 0], atol=1e-5)
    assert np.abs(together.live.keys[:, 0] - together.live.keys[:, 1]).max() > 1e-3


def test_it_remembers_the_previous_chunk_under_its_own_cameras():
    model, (first, second) = backbone(), inputs(CHUNKS)[:2]
    empty = Context((model.spec.zeros(1, 0),), jnp.int32(0))
    x0 = jax.random.normal(jax.random.key(3), (1, *model.latent_shape))
    prepared = compiled(model, "prepare_chunk")(params(), None, first, jnp.int32(0))
    own, carry = model.commit(params(), x0, prepared, empty)
    assert own is None and isinstance(carry, Previous)
    prepared = compiled(model, "prepare_chunk")(params(), carry, second, jnp.int32(1))
    own, carry = model.commit(params(), 2 * x0, prepared, empty)
    np.testing.assert_array_equal(own.cameras, first.cameras)
    np.testing.assert_array_equal(carry.cameras, second.cameras)
    tokens = model.spec.chunk_tokens
    np.testing.assert_array_equal(own.span.keys, prepared.live.keys[:, :, tokens:])
    assert own.span.keys.shape == model.spec.shape(1, tokens)


def test_remembered_chunks_can_stand_elsewhere():
    chunk, x0 = inputs(CHUNKS)[0], jax.random.normal(jax.random.key(3), (1, *backbone().latent_shape))
    prepared = compiled(backbone(), "prepare_chunk")(params(), Previous(x0, chunk.cameras), chunk, jnp.int32(1))
    spans, nothing = {}, Context((backbone().spec.zeros(1, 0),), jnp.int32(0))
    for position in (3, -3):
        model = backbone(remembered_position=position)
        spans[position] = model.commit(params(), x0, prepared, nothing)[0].span
    back = backbone().config.rope.shift_time(spans[-3].keys, jnp.full((1,), 6, jnp.int32))
    np.testing.assert_allclose(back, spans[3].keys, atol=1e-5)
    assert np.abs(spans[-3].keys - spans[3].keys).max() > 1e-2
    np.testing.assert_array_equal(spans[-3].values, spans[3].values)


@pytest.mark.optimized
def test_tiers_agree(remembered):
    memory = remembering()
    memory = dataclasses.replace(memory, bank=dataclasses.replace(memory.bank, tier="host"))
    made, _ = run(memory, CHUNKS)
    np.testing.assert_array_equal(latents(made), latents(remembered[0]))


@pytest.mark.slow
def test_bfloat16_computes_the_same_but_for_rounding(native):
    half = dataclasses.replace(backbone(), config=dataclasses.replace(TINY, dtype="bfloat16"), remembered_position=-3)
    small = jax.tree.map(lambda a: a.astype(jnp.bfloat16), params())
    exact = dataclasses.replace(remembering(), bank=BankConfig(storage="model"))
    world = start(half, small, exact, chunks=CHUNKS)
    given = inputs(CHUNKS)[:2]
    made, world = rollout(half, small, world, given, key=jax.random.key(1), decode=False)
    assert world.memory.bank.slots.keys.dtype == jnp.bfloat16
    assert made[0].latents.dtype == jnp.float32
    error = np.square(np.asarray(made[0].latents) - native[0])
    assert np.sqrt(error.mean() / np.square(native[0]).mean()) < 0.05


def test_sizes():
    assert InSpatioWorld().latent_shape == (3, 60, 104, 16)
    spec = InSpatioWorld().spec
    assert spec.tokens_per_frame == 1560
    assert spec.bytes(1, spec.chunk_tokens) == 862_617_600  # InSpatio-World specification, section 4
    with pytest.raises(ValueError, match="multiples of 16"):
        InSpatioWorld(rows=61)
    with pytest.raises(ValueError, match=r"outside \[0, 1\]"):
        InSpatioWorld(least_unknown=1.5)


def test_default_memory_fits_every_length():
    for chunks in range(1, 12):
        memory = default_memory(chunks)
        assert (memory == NATIVE) == (chunks < 3)
        given = chunk_inputs(out_and_back(chunks), backbone().spec)
        assert len(given) == chunks
        WorldMemory.create(memory, backbone().spec, chunks=chunks)
