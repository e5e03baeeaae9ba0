"""Counts of things as sentences name them."""

import pytest

from worldkv_jax.counts import counted


@pytest.mark.parametrize(("count", "text"), [(0, "0 chunks"), (1, "1 chunk"), (2, "2 chunks")])
def test_one_is_not_many(count, text):
    assert counted(count, "chunk") == text
