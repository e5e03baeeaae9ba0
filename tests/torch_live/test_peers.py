"""What `worldkv bench peers` times is the same work, at sizes of a test."""

import importlib

import numpy as np
import pytest

from ports.wan.autoencoders import wan_vae
from ports.wan.encoders import clip, umt5
from worldkv_jax.benchmarks.pairs import Place

pytestmark = pytest.mark.torch
TEXT = umt5.UMT5Config(vocabulary=60, dim=32, attention_dim=24, ffn_dim=40, heads=4, layers=3)
SIZES = {
    "attention": [(40, 200, 2, 16)],
    "clip": [clip.CLIPConfig(image_size=28, dim=48, heads=3, layers=3, mlp_dim=40, out_dim=8), (30, 50)],
    "loading": [TEXT],
    "umt5": [TEXT, 24],
    "vae": [wan_vae.VAEConfig(dim=6), (3, 3, 4)],
}


@pytest.mark.parametrize("name", SIZES)
def test_both_do_the_same_work(name, tmp_path):
    for library in ("torch", "diffusers", "transformers"):
        pytest.importorskip(library)
    pair = importlib.import_module(f"ports.peers.{name}").compare(Place(scratch=tmp_path), *SIZES[name])
    got, want = pair.ours()(), pair.theirs()()
    np.testing.assert_allclose(got, want, atol=pair.tolerance * np.abs(want).max())
