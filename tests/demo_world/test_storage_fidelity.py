"""The measurement of eight-bit banks: its controls do what they say."""

import jax.numpy as jnp
import numpy as np

from ports.demo_world.study.storage_fidelity import attention_errors, whole_chunk
from worldkv_jax.memory import KVSpan


def percent(text: str) -> float:
    return float(text.removesuffix(" %"))


def test_scales_for_each_head_and_token_never_fare_worse_than_one_for_all():
    rows = {row.pop("stored as"): row for row in attention_errors(tokens=500, queries=50)}
    for case, error in rows["int8"].items():
        assert 0 < percent(error) < min(2, percent(rows["int8, one scale a chunk"][case]))
        assert percent(error) < percent(rows["float8"][case]) < 5


def test_one_scale_for_a_whole_chunk_rounds_small_values_away():
    keys = jnp.array([[[[[1000.0, 1.0]]]], [[[[8.0, 3.0]]]]])
    got = whole_chunk("int8")(KVSpan(keys, jnp.ones_like(keys)))
    np.testing.assert_allclose(got.keys.ravel(), [1000.0, 0.0, 1000 / 127, 0.0], rtol=1e-6)
    np.testing.assert_array_equal(got.values, 1.0)
