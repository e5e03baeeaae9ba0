"""The selection of the lowest scores: order, ties, zeros, NaN, for every implementation."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels_pallas.select_lowest import select_lowest
from tests.kernels.kernel_suite import KernelSuite


def lowest(scores, k):
    """Select one row in plain Python: numbers by value then position, NaN after them."""
    order = sorted(range(len(scores)), key=lambda i: (bool(np.isnan(scores[i])), np.nan_to_num(scores[i]), i))
    return np.array(sorted(order[:k]), np.int32)


def lowest_rows(scores, k):
    scores = np.asarray(scores).astype(np.float64)
    return np.apply_along_axis(functools.partial(lowest, k=k), -1, scores)


class SelectLowestSuite(KernelSuite):
    function = staticmethod(select_lowest)

    def static(self, spec):
        return {"k": spec.picks}

    def inputs(self, spec, seed=0):
        # One decimal, so that ties are common.
        scores = np.random.default_rng(seed).normal(size=(*spec.leading, spec.tokens)).round(1)
        return (jnp.asarray(scores, spec.dtype),)

    def structs(self, spec):
        return (jax.ShapeDtypeStruct((*spec.leading, spec.tokens), "float32"),)

    def oracle(self, spec, scores):
        return lowest_rows(scores, spec.picks)

    def check(self, got, want):
        assert got.dtype == jnp.int32
        np.testing.assert_array_equal(got, want)

    def select(self, scores, k):
        return select_lowest(jnp.asarray(scores, jnp.float32), k, implementation=self.implementation, interpret=True)

    @pytest.mark.parametrize("k", [1, 2, 12, 13])
    def test_first_last_and_all(self, k):
        scores = np.random.default_rng(k).normal(size=(3, 13))
        self.check(self.select(scores, k), lowest_rows(scores, k))

    def test_ties_go_to_the_lowest_position(self):
        self.check(self.select(np.ones(9), 4), np.arange(4))
        self.check(self.select([2, 1, 0, 1, 1, 0], 4), [1, 2, 3, 5])

    def test_zeros_of_both_signs_are_equal(self):
        self.check(self.select([0.0, -0.0, 0.0, -0.0, 1.0], 3), [0, 1, 2])

    def test_nan_of_either_sign_comes_after_infinity(self):
        nan = np.float32(np.nan)
        scores = [nan, np.inf, -nan, 1.0, -np.inf, nan]
        for k, want in ((2, [3, 4]), (3, [1, 3, 4]), (4, [0, 1, 3, 4]), (5, [0, 1, 2, 3, 4])):
            self.check(self.select(scores, k), want)

    def test_row_of_nan_gives_the_first_positions(self):
        self.check(self.select(np.full(5, np.nan), 3), [0, 1, 2])

    def test_bfloat16_ties_are_those_of_the_rounded_scores(self):
        scores = jnp.asarray([1.0, 1.001, 0.999, 3.0], jnp.bfloat16)
        got = select_lowest(scores, 2, implementation=self.implementation, interpret=True)
        self.check(got, lowest_rows(scores, 2))


class TestXla(SelectLowestSuite):
    implementation = "xla"


class TestTriton(SelectLowestSuite):
    implementation = "triton"


@pytest.mark.parametrize("implementation", ["xla", "triton"])
@settings(max_examples=25)
@given(data=st.data())
def test_any_scores(implementation, data):
    # Without subnormal numbers, which count as zero where a backend flushes them.
    special = st.sampled_from([0.0, -0.0, 3e38, -3e38, np.inf, -np.inf, np.nan, 1.0, 1.0000001])
    value = special | st.floats(-2, 2, width=32, allow_subnormal=False)
    scores = np.float32(data.draw(st.lists(value, min_size=16, max_size=16)))
    got = select_lowest(jax.device_put(scores), 5, implementation=implementation, interpret=True)
    np.testing.assert_array_equal(got, lowest(scores, 5))


def test_errors_say_what_was_expected():
    for k in (0, 6):
        with pytest.raises(ValueError, match="expected 1 <= k <= T"):
            select_lowest(jnp.zeros(5), k)
    with pytest.raises(ValueError, match="scores are int32; expected floats"):
        select_lowest(jnp.zeros(5, jnp.int32), 1)


def test_mosaic_gpu_is_a_valid_name_without_a_version():
    with pytest.raises(NotImplementedError, match="no such version; use 'xla' or 'triton'"):
        select_lowest(jnp.zeros(5), 1, implementation="mosaic_gpu")
    got = select_lowest(jnp.arange(5.0), 2, implementation=("mosaic_gpu", "xla"))
    np.testing.assert_array_equal(got, [0, 1])
