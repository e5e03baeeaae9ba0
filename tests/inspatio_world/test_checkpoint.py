"""The key table of InSpatio-World at its real size, and settings that do not fit."""

import pytest

from ports.inspatio_world.checkpoint import DIT, configure
from ports.inspatio_world.config import TINY, InSpatioConfig
from tests.wan.released import fingerprint, tensors_of

RELEASED = (825, 1_419_119_680, "467e1f8c2ffed911")
"""Number of tensors and of weights, and a hash of keys and shapes (InSpatio-World specification, section 2)."""


def test_key_table_names_every_tensor():
    assert fingerprint(tensors_of(DIT, InSpatioConfig())) == RELEASED


def shapes(config):
    return {key: target.shape for key, target in tensors_of(DIT, config).items()}


def test_sizes_come_from_the_tensors():
    released = {"num_heads": 12, "in_dim": 16, "text_len": 512, "model_type": "t2v", "dim": 1536}
    assert configure(shapes(InSpatioConfig()), released) == InSpatioConfig()
    settings = {"num_heads": TINY.heads, "text_len": TINY.text_rows}
    got = configure(shapes(TINY), settings)
    assert DIT.from_json(DIT.to_json(got)) == got
    assert (got.dim, got.layers, got.heads, got.text_rows) == (TINY.dim, TINY.layers, TINY.heads, TINY.text_rows)


@pytest.mark.parametrize("settings", [{"model_type": "i2v"}, {"num_layers": 40}, {"eps": 1e-5}])
def test_settings_of_another_model_are_refused(settings):
    with pytest.raises(ValueError, match="is not that of InSpatio-World"):
        configure(shapes(TINY), settings)


def test_missing_tensors_are_told():
    with pytest.raises(KeyError):
        configure({}, {})
