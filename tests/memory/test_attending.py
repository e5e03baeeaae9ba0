"""What a chunk attends to in one layer, whatever there is around it and however its rows are joined."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels_pallas.attention import attention
from worldkv_jax.memory import Context, KVSpan, Past, attend, empty_buffer

LAYERS, WORLDS, OWN, REFERENCE, PAST, HEADS, WIDTH = 2, 2, 5, 3, 7, 2, 4
JOINED = pytest.mark.parametrize("buffered", [False, True], ids=["concatenated", "in a buffer"])


def span(rows, seed, layers=None):
    shape = (WORLDS, rows, HEADS, WIDTH) if layers is None else (layers, WORLDS, rows, HEADS, WIDTH)
    keys = jax.random.split(jax.random.key(seed))
    return KVSpan(*(jax.random.normal(key, shape) for key in keys))


def layer_of(stack, layer):
    return jax.tree.map(lambda a: a[layer], stack)


def join(*spans):
    return jax.tree.map(lambda *parts: jnp.concatenate(parts, axis=1), *spans)


def attend_in_turn(around, context, *, buffered):
    """Go through both layers as a pass does, with one buffer for both or with none."""
    query, made = span(OWN, 9).keys, []
    buffer = empty_buffer(tuple(layer_of(stack, 0) for stack in around), OWN) if buffered else None
    for layer in range(LAYERS):
        past = Past(tuple(layer_of(stack, layer) for stack in around), context, buffer).write_spans()
        mixed, past = past.attend(query, span(OWN, layer))
        made.append(mixed)
        buffer = past.buffer
    assert buffered == (buffer is not None)
    return query, made


@JOINED
@pytest.mark.parametrize("length", [0, 4, PAST])
@pytest.mark.parametrize("with_reference", [False, True])
def test_own_rows_and_the_valid_context_are_visible(length, with_reference, buffered):
    reference, past = span(REFERENCE, 21, LAYERS), span(PAST, 22, LAYERS)
    around = [reference, past] if with_reference else [past]
    context = Context((past,), jnp.int32(length))
    query, made = attend_in_turn(around, context, buffered=buffered)
    for layer in range(LAYERS):
        valid = jax.tree.map(lambda a: a[:, :length], layer_of(past, layer))
        seen = [span(OWN, layer), *([layer_of(reference, layer)] if with_reference else []), valid]
        np.testing.assert_allclose(made[layer], attention(query, *join(*seen)), atol=1e-6)
        if not with_reference:
            np.testing.assert_allclose(attend(query, span(OWN, layer), context, layer), made[layer], atol=1e-6)


@JOINED
def test_each_world_may_see_a_length_of_its_own(buffered):
    past = span(PAST, 22, LAYERS)
    query, made = attend_in_turn([past], Context((past,), jnp.array([0, 4], jnp.int32)), buffered=buffered)
    alone = attention(query, *span(OWN, 1))
    np.testing.assert_allclose(made[1][0], alone[0], atol=1e-6)
    valid = jax.tree.map(lambda a: a[:, :4], layer_of(past, 1))
    np.testing.assert_allclose(made[1][1], attention(query, *join(span(OWN, 1), valid))[1], atol=1e-6)


@JOINED
@pytest.mark.parametrize("hides", [False, True])
@pytest.mark.parametrize("with_reference", [False, True])
def test_a_chunk_can_be_hidden_from_itself(hides, with_reference, buffered):
    reference, past = span(REFERENCE, 21, LAYERS), span(PAST, 22, LAYERS)
    around = [reference, past] if with_reference else [past]
    query, made = attend_in_turn(around, Context((past,), jnp.int32(4), jnp.array(hides)), buffered=buffered)
    for layer in range(LAYERS):
        valid = jax.tree.map(lambda a: a[:, :4], layer_of(past, layer))
        own = [] if hides else [span(OWN, layer)]
        seen = [*own, *([layer_of(reference, layer)] if with_reference else []), valid]
        np.testing.assert_allclose(made[layer], attention(query, *join(*seen)), atol=1e-6)


@JOINED
def test_a_reference_needs_no_context(buffered):
    reference = span(REFERENCE, 21, LAYERS)
    query, made = attend_in_turn([reference], None, buffered=buffered)
    np.testing.assert_allclose(made[1], attention(query, *join(span(OWN, 1), layer_of(reference, 1))), atol=1e-6)


def test_own_rows_alone_need_no_buffer():
    assert empty_buffer((), OWN) is None
    mixed, past = Past().write_spans().attend(span(OWN, 9).keys, span(OWN, 0))
    assert past.buffer is None
    np.testing.assert_allclose(mixed, attention(span(OWN, 9).keys, *span(OWN, 0)), atol=1e-6)


def test_the_attention_may_be_ones_own():
    context, seen = Context((span(PAST, 22, LAYERS),), jnp.int32(4)), []

    def mine(query, key, value, *, length):
        seen.append((key.shape[1], int(length)))
        return query

    Past(context.layer(0), context).attend(span(OWN, 9).keys, span(OWN, 0), mine)
    assert seen == [(OWN + PAST, OWN + 4)]


def test_a_layer_that_is_not_there_and_keys_of_all_layers_are_refused():
    context = Context((span(PAST, 22, LAYERS),), jnp.int32(4))
    query, own = span(OWN, 9).keys, span(OWN, 1)
    for layer in (LAYERS, -LAYERS - 1, np.int64(LAYERS)):
        with pytest.raises(ValueError, match=f"layer {layer} is not among the 2 that the memory has"):
            attend(query, own, context, layer)
    with pytest.raises(ValueError, match=r"that is one layer's \[worlds, tokens, heads, head dim\]"):
        attend(query, span(OWN, 1, LAYERS), context, 0)
    np.testing.assert_array_equal(attend(query, own, context, -1), attend(query, own, context, LAYERS - 1))


def test_what_is_no_context_span_or_query_is_refused_in_words():
    context = Context((span(PAST, 22, LAYERS),), jnp.int32(4))
    query, own = span(OWN, 9).keys, span(OWN, 1)
    wider = KVSpan(own.keys, jnp.concatenate([own.values] * 2, axis=-1))
    for given, says in (
        ((query, own, (context, None), 0), "context is a tuple, expected the first of the two that `recall` returns"),
        ((query, tuple(own), context, 0), r"own is a tuple, expected KVSpan\(keys, values\)"),
        ((query, KVSpan(own.keys.tolist(), own.values), context, 0), "own keys list and values"),
        ((query, wider, context, 0), rf"values \(2, 5, 2, 8\) do not fit this memory: expected \(2, {OWN}, 2, 4\)"),
        ((query, jax.tree.map(lambda a: a[:1], own), context, 0), r"keys \(1, 5, 2, 4\).*expected \(2, 5, 2, 4\)"),
        ((query[0], own, context, 0), r"query is float32\[5, 2, 4\] beside own keys float32\[2, 5, 2, 4\]"),
        ((query.astype(jnp.bfloat16), own, context, 0), r"query is bfloat16.* of their dtype"),
    ):
        with pytest.raises(ValueError, match=says):
            attend(*given)
