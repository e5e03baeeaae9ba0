"""The buffer of a layer's attention: what is visible lies in its first rows, whatever there is around the chunk."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ports.wan.nn.attention import attention
from ports.wan.nn.memory_rows import add_own, bring, empty_buffer
from worldkv_jax.memory import Context, KVSpan

LAYERS, WORLDS, OWN, BESIDE, PAST, HEADS, WIDTH = 2, 2, 5, 3, 7, 2, 4


def span(rows, seed, layers=None):
    shape = (WORLDS, rows, HEADS, WIDTH) if layers is None else (layers, WORLDS, rows, HEADS, WIDTH)
    keys = jax.random.split(jax.random.key(seed))
    return KVSpan(*(jax.random.normal(key, shape) for key in keys))


def layer_of(stack, layer):
    return jax.tree.map(lambda a: a[layer], stack)


def join(*spans):
    return jax.tree.map(lambda *parts: jnp.concatenate(parts, axis=1), *spans)


def attend_in_turn(around, context):
    """Use one buffer for both layers, as a pass does; return what each attended to, compared by attention's result."""
    query, buffer, made = span(OWN, 9).keys, empty_buffer(around, OWN), []
    for layer in range(LAYERS):
        buffer = bring(buffer, [layer_of(stack, layer) for stack in around], context)
        buffer, visible = add_own(buffer, span(OWN, layer), context)
        made.append(attention(query, *buffer, length=visible))
    return query, made


@pytest.mark.parametrize("length", [0, 4, PAST])
@pytest.mark.parametrize("with_beside", [False, True])
def test_own_rows_and_the_valid_context_are_visible(length, with_beside):
    beside, past = span(BESIDE, 21, LAYERS), span(PAST, 22, LAYERS)
    around = [beside, past] if with_beside else [past]
    query, made = attend_in_turn(around, Context(past, jnp.int32(length)))
    for layer in range(LAYERS):
        valid = jax.tree.map(lambda a: a[:, :length], layer_of(past, layer))
        seen = [span(OWN, layer), *([layer_of(beside, layer)] if with_beside else []), valid]
        np.testing.assert_allclose(made[layer], attention(query, *join(*seen)), atol=1e-6)


def test_each_world_may_see_a_length_of_its_own():
    past = span(PAST, 22, LAYERS)
    query, made = attend_in_turn([past], Context(past, jnp.array([0, 4], jnp.int32)))
    alone = attention(query, *span(OWN, 1))
    np.testing.assert_allclose(made[1][0], alone[0], atol=1e-6)
    valid = jax.tree.map(lambda a: a[:, :4], layer_of(past, 1))
    np.testing.assert_allclose(made[1][1], attention(query, *join(span(OWN, 1), valid))[1], atol=1e-6)


@pytest.mark.parametrize("hides", [False, True])
def test_a_chunk_can_be_hidden_from_itself(hides):
    past = span(PAST, 22, LAYERS)
    query, made = attend_in_turn([past], Context(past, jnp.int32(4), jnp.array(hides)))
    for layer in range(LAYERS):
        valid = jax.tree.map(lambda a: a[:, :4], layer_of(past, layer))
        seen = valid if hides else join(span(OWN, layer), valid)
        np.testing.assert_allclose(made[layer], attention(query, *seen), atol=1e-6)


def test_what_is_beside_needs_no_context():
    beside = span(BESIDE, 21, LAYERS)
    query, made = attend_in_turn([beside], None)
    np.testing.assert_allclose(made[1], attention(query, *join(span(OWN, 1), layer_of(beside, 1))), atol=1e-6)


def test_without_anything_around_there_is_no_buffer():
    assert empty_buffer([], OWN) is None
