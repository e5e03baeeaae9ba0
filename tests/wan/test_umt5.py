"""UMT5 encoder: distances, padding, dtypes, and what a released checkpoint holds."""

import dataclasses
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ports.wan.encoders import umt5
from ports.wan.nn.parameters import init_params
from tests.wan.released import convert, fingerprint, paths, tensors_of

TINY = umt5.UMT5Config(vocabulary=50, dim=16, attention_dim=24, ffn_dim=20, heads=3, layers=2)


@pytest.fixture(scope="module")
def params():
    return init_params(umt5.UMT5Encoder, TINY, 0)


@pytest.fixture
def prompts():
    lengths = np.array([7, 12, 1])
    ids = np.random.default_rng(0).integers(4, TINY.vocabulary, (3, 12), dtype=np.int32)
    return ids, (np.arange(12) < lengths[:, None]).astype(np.int32)


def test_buckets_grow_with_the_logarithm_of_the_distance():
    distance = np.arange(-600, 601)
    got = np.asarray(umt5.distance_buckets(umt5.UMT5Config(), jnp.asarray(distance, jnp.int32)))
    assert got.dtype == np.int32
    assert [int(b) for b in got[distance >= 0][[0, 1, 7, 8, 11, 12, 15, 16, 23, 32, 46, 64, 90, 91, 600]]] == [
        *(0, 17, 23, 24, 24, 25, 25, 26, 27, 28, 29, 30, 30, 31, 31)
    ]
    np.testing.assert_array_equal(got[distance > 0], got[distance < 0][::-1] + 16)


@pytest.mark.parametrize(("buckets", "max_distance"), [(32, 128), (16, 100), (8, 20), (32, 9)])
def test_buckets_of_other_sizes(buckets, max_distance):
    config = dataclasses.replace(TINY, buckets=buckets, max_distance=max_distance)
    got = umt5.distance_buckets(config, -jnp.arange(300, dtype=jnp.int32))
    exact = buckets // 4
    for d in range(300):
        expected = d
        if d >= exact:
            share = math.log(d / exact) / math.log(max_distance / exact)
            expected = min(exact + int(share * exact + 1e-9), 2 * exact - 1)
        assert int(got[d]) == expected


def test_padding_is_zero_and_without_influence(params, prompts):
    ids, mask = prompts
    encode = jax.jit(umt5.encode, static_argnums=0)
    hidden = np.asarray(encode(TINY, params, ids, mask))
    assert hidden.shape == (3, 12, TINY.dim) and hidden.dtype == np.float32
    assert not hidden[mask == 0].any() and hidden[mask == 1].any(axis=-1).all()
    other = encode(TINY, params, np.where(mask, ids, 0), mask)
    np.testing.assert_array_equal(other, hidden)
    np.testing.assert_allclose(encode(TINY, params, ids[:1, :7], mask[:1, :7])[0], hidden[0, :7], atol=1e-5)


def test_a_batch_is_its_prompts_one_by_one(params, prompts):
    together = umt5.encode(TINY, params, *prompts)
    for i in range(3):
        alone = umt5.encode(TINY, params, *(a[i : i + 1] for a in prompts))
        np.testing.assert_allclose(alone[0], together[i], atol=1e-5)


def test_every_block_has_its_own_distances(params, prompts):
    bias = params["blocks"]["attn"]["relative_bias"]
    swapped = jax.tree.map(lambda a: a, params)
    swapped["blocks"]["attn"]["relative_bias"] = bias[::-1]
    change = umt5.encode(TINY, swapped, *prompts) - umt5.encode(TINY, params, *prompts)
    assert float(jnp.abs(change).max()) > 1e-2


def test_an_id_beyond_the_table_is_not_another_word(params):
    ids = jnp.array([[5, TINY.vocabulary]], jnp.int32)
    assert jnp.isnan(umt5.encode(TINY, params, ids, jnp.ones_like(ids))).any()


def test_parameters_decide_the_dtype(params, prompts):
    exact = umt5.encode(TINY, params, *prompts)
    short = umt5.encode(TINY, jax.tree.map(lambda p: p.astype(jnp.bfloat16), params), *prompts)
    assert short.dtype == jnp.bfloat16
    np.testing.assert_allclose(short.astype(jnp.float32), exact, atol=0.15)


def test_the_program_does_not_grow_with_depth(prompts):
    def program(layers):
        config = dataclasses.replace(TINY, layers=layers)
        params = umt5.COMPONENT.abstract(config)
        return str(jax.make_jaxpr(lambda p, *a: umt5.encode(config, p, *a))(params, *prompts)).count("dot_general")

    assert program(2) == program(5)


@pytest.mark.parametrize(("naming", "hash_"), [("original", "d6379851fe159f73"), ("transformers", "13d275e6336e0d0b")])
def test_the_key_table_lists_the_released_checkpoint(naming, hash_):
    targets = tensors_of(umt5.COMPONENT, umt5.UMT5Config(), naming)
    assert fingerprint(targets) == (242, 5_680_910_336, hash_)
    # The file of transformers has the embedding twice.
    assert any(re.fullmatch(pattern, "encoder.embed_tokens.weight") for pattern in umt5.COMPONENT.unused)


def test_the_configuration_comes_from_the_shapes():
    shapes = {key: target.shape for key, target in tensors_of(umt5.COMPONENT, umt5.UMT5Config()).items()}
    assert umt5.COMPONENT.configure(shapes, {"num_heads": 40}) == umt5.UMT5Config()  # another network's setting
    saved = umt5.COMPONENT.to_json(TINY)
    assert umt5.COMPONENT.from_json(saved) == TINY
    del shapes["token_embedding.weight"]
    with pytest.raises(KeyError, match=r"token_embedding\.weight"):
        umt5.COMPONENT.configure(shapes, {})


def test_both_namings_hold_the_same_network(params):
    """The same numbers under both names give the same parameters, and undoing gives the tensors back."""
    made = {}
    for naming in umt5.COMPONENT.tables:
        tensors = {}
        for key, target in tensors_of(umt5.COMPONENT, TINY, naming).items():
            leaf = np.asarray(paths(params)[target.path])
            tensors[key] = target.transform.undo(leaf if target.layer is None else leaf[target.layer])
        made[naming] = convert(umt5.COMPONENT, tensors, TINY, naming)[1]
    for got in made.values():
        jax.tree.map(np.testing.assert_array_equal, got, params)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heads": 5}, "attention_dim=24 is not a multiple of heads=5"),
        ({"buckets": 30}, "buckets=30"),
        ({"max_distance": 8}, "max_distance=8"),
    ],
)
def test_sizes_that_do_not_fit(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TINY, **change)
