"""The anchor similarity: partial sums of every implementation, anchor vectors, finishing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels_pallas.anchor_similarity import Partials, anchor_similarity, anchor_vector, cosine, squared_norm
from kernels_pallas.arg_specs import ArgSpec
from tests.kernels.kernel_suite import KernelSuite

ANCHOR_TOKENS = 7


def float64(x):
    return np.asarray(x).astype(np.float64)


class AnchorSimilaritySuite(KernelSuite):
    function = staticmethod(anchor_similarity)

    def inputs(self, spec, seed=0):
        keys = np.random.default_rng(seed).normal(size=spec.shape)
        keys = jnp.asarray(keys, spec.dtype)
        return keys, anchor_vector(keys[..., :ANCHOR_TOKENS, :, :])

    def structs(self, spec):
        anchor = (*spec.leading, spec.heads, spec.head_dim)
        return jax.ShapeDtypeStruct(spec.shape, spec.dtype), jax.ShapeDtypeStruct(anchor, "float32")

    def oracle(self, spec, keys, anchor):
        keys = float64(keys).reshape(*spec.leading, spec.tokens, -1)
        anchor = float64(anchor).reshape(*spec.leading, -1)
        dot = np.einsum("...tc,...c->...t", keys, anchor)
        return Partials(dot, np.linalg.norm(keys, axis=-1) ** 2, np.linalg.norm(anchor, axis=-1) ** 2)

    def check(self, got, want):
        for name in Partials._fields:
            value = getattr(got, name)
            assert value.dtype == jnp.float32
            np.testing.assert_allclose(value, getattr(want, name), rtol=2e-6, atol=2e-5, err_msg=name)


class TestXla(AnchorSimilaritySuite):
    implementation = "xla"


class TestTriton(AnchorSimilaritySuite):
    implementation = "triton"

    def test_refuses_what_it_cannot_cut_into_blocks(self):
        for shape in ((8, 4, 64), (64, 3, 5)):
            keys = jnp.zeros(shape)
            with pytest.raises(NotImplementedError, match="needs 16"):
                anchor_similarity(keys, keys[0], implementation="triton", interpret=True)

    def test_refuses_keys_beyond_32_bit_offsets(self):
        keys = jax.ShapeDtypeStruct((90, 4680, 40, 128), "bfloat16")
        anchor = jax.ShapeDtypeStruct((90, 40, 128), "float32")
        with pytest.raises(NotImplementedError, match="split the leading axes"):
            jax.eval_shape(lambda *x: anchor_similarity(*x, implementation="triton", interpret=True), keys, anchor)


class TestMosaicGpu(AnchorSimilaritySuite):
    implementation = "mosaic_gpu"

    def test_refuses_small_or_odd_tokens(self):
        for shape, dtype in (((48, 4, 64), "bfloat16"), ((64, 3, 40), "bfloat16"), ((64, 4, 64), "float16")):
            keys = jnp.zeros(shape, dtype)
            with pytest.raises(NotImplementedError, match="needs 64 tokens"):
                anchor_similarity(keys, keys[0], implementation="mosaic_gpu", interpret=True)

    def test_falls_back_to_the_next_name(self):
        keys = jnp.ones((48, 3, 32))
        got = anchor_similarity(keys, keys[0], implementation=("mosaic_gpu", "xla"), interpret=True)
        np.testing.assert_array_equal(got.dot, np.full(48, 96))


def cosines(keys, anchor_keys):
    """Cosine of every key to every anchor key, heads joined, in float64: ``[T, S]``."""
    keys, anchor_keys = (float64(x).reshape(x.shape[0], -1) for x in (keys, anchor_keys))
    return keys @ anchor_keys.T / np.linalg.norm(keys, axis=1)[:, None] / np.linalg.norm(anchor_keys, axis=1)


def test_centroid_is_the_cosine_to_the_mean_key():
    spec = ArgSpec(name="", leading=(), tokens=30, picks=1, heads=3, head_dim=8)
    keys = AnchorSimilaritySuite().inputs(spec)[0]
    anchor = anchor_vector(keys[:10], "centroid")
    assert anchor.dtype == jnp.float32
    want = cosines(keys, float64(keys[:10]).mean(0, keepdims=True))[:, 0]
    np.testing.assert_allclose(cosine(anchor_similarity(keys, anchor)), want, atol=1e-6)


def test_per_key_is_the_mean_of_all_cosines():
    spec = ArgSpec(name="", leading=(), tokens=30, picks=1, heads=3, head_dim=8)
    keys = AnchorSimilaritySuite().inputs(spec)[0]
    anchor = anchor_vector(keys[:10], "per_key")
    got = cosine(anchor_similarity(keys, anchor), kind="per_key")
    np.testing.assert_allclose(got, cosines(keys, keys[:10]).mean(axis=1), atol=1e-6)


def test_per_key_takes_norms_summed_elsewhere():
    keys = jnp.asarray(np.random.default_rng(0).normal(size=(2, 10, 4, 8)), jnp.float32)
    norms = jnp.sqrt(squared_norm(keys))
    halves = [anchor_vector(half, "per_key", key_norms=norms) for half in jnp.split(keys, 2, axis=-2)]
    np.testing.assert_allclose(jnp.concatenate(halves, axis=-2), anchor_vector(keys, "per_key"), rtol=1e-6)


@pytest.mark.parametrize("kind", ["centroid", "per_key"])
def test_keys_of_zero_have_similarity_zero(kind):
    keys = jnp.zeros((5, 2, 8)).at[4].set(1.0)
    anchor = anchor_vector(keys[:2], kind)
    np.testing.assert_array_equal(cosine(anchor_similarity(keys, anchor), kind=kind), np.zeros(5))


def test_epsilon_is_added_to_the_product_of_the_norms():
    partials = Partials(jnp.array([6.0]), jnp.array([4.0]), jnp.array(9.0))
    np.testing.assert_allclose(cosine(partials, eps=2.0), [6 / (2 * 3 + 2)])
    np.testing.assert_allclose(cosine(partials, kind="per_key", eps=2.0), [6 / (2 + 2)])


def test_errors_say_what_was_expected():
    keys = jnp.zeros((2, 9, 3, 4))
    with pytest.raises(ValueError, match=r"anchor \(3, 4\) does not fit keys \(2, 9, 3, 4\)"):
        anchor_similarity(keys, keys[0, 0])
    with pytest.raises(ValueError, match="keys is int32; expected a float dtype"):
        anchor_similarity(keys.astype(jnp.int32), keys[:, 0])
    with pytest.raises(ValueError, match="use 'centroid' or 'per_key'"):
        anchor_vector(keys, "mean")
    with pytest.raises(ValueError, match="use 'centroid' or 'per_key'"):
        cosine(anchor_similarity(keys, keys[:, 0]), kind="mean")
