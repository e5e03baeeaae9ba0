"""The buffer of a layer's attention: what is visible lies in its first rows, whatever there is around the chunk."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ports.wan.nn.attention import attention
from ports.wan.nn.memory_rows import Past, empty_buffer
from worldkv_jax.memory import Context, KVSpan

LAYERS, WORLDS, OWN, REFERENCE, PAST, HEADS, WIDTH = 2, 2, 5, 3, 7, 2, 4


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
    query, buffer, made = span(OWN, 9).keys, empty_buffer([layer_of(stack, 0) for stack in around], OWN), []
    for layer in range(LAYERS):
        past = Past(buffer, tuple(layer_of(stack, layer) for stack in around), context).write_context()
        past, visible, length = past.append_own(span(OWN, layer))
        made.append(attention(query, *visible, length=length))
        buffer = past.buffer
    return query, made


@pytest.mark.parametrize("length", [0, 4, PAST])
@pytest.mark.parametrize("with_reference", [False, True])
def test_own_rows_and_the_valid_context_are_visible(length, with_reference):
    reference, past = span(REFERENCE, 21, LAYERS), span(PAST, 22, LAYERS)
    around = [reference, past] if with_reference else [past]
    query, made = attend_in_turn(around, Context((past,), jnp.int32(length)))
    for layer in range(LAYERS):
        valid = jax.tree.map(lambda a: a[:, :length], layer_of(past, layer))
        seen = [span(OWN, layer), *([layer_of(reference, layer)] if with_reference else []), valid]
        np.testing.assert_allclose(made[layer], attention(query, *join(*seen)), atol=1e-6)


def test_each_world_may_see_a_length_of_its_own():
    past = span(PAST, 22, LAYERS)
    query, made = attend_in_turn([past], Context((past,), jnp.array([0, 4], jnp.int32)))
    alone = attention(query, *span(OWN, 1))
    np.testing.assert_allclose(made[1][0], alone[0], atol=1e-6)
    valid = jax.tree.map(lambda a: a[:, :4], layer_of(past, 1))
    np.testing.assert_allclose(made[1][1], attention(query, *join(span(OWN, 1), valid))[1], atol=1e-6)


@pytest.mark.parametrize("hides", [False, True])
def test_a_chunk_can_be_hidden_from_itself(hides):
    past = span(PAST, 22, LAYERS)
    query, made = attend_in_turn([past], Context((past,), jnp.int32(4), jnp.array(hides)))
    for layer in range(LAYERS):
        valid = jax.tree.map(lambda a: a[:, :4], layer_of(past, layer))
        seen = valid if hides else join(span(OWN, layer), valid)
        np.testing.assert_allclose(made[layer], attention(query, *seen), atol=1e-6)


def test_a_reference_needs_no_context():
    reference = span(REFERENCE, 21, LAYERS)
    query, made = attend_in_turn([reference], None)
    np.testing.assert_allclose(made[1], attention(query, *join(span(OWN, 1), layer_of(reference, 1))), atol=1e-6)


def test_without_anything_around_there_is_no_buffer():
    assert empty_buffer([], OWN) is None
