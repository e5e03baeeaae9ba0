"""What `worldkv bench peers` times is the same work, at sizes of a test."""

import importlib

import pytest

from ports.wan.autoencoders import wan_vae
from ports.wan.encoders import umt5
from worldkv_jax.benchmarks.peers import run_peer_benchmark

pytestmark = pytest.mark.torch
TEXT = umt5.UMT5Config(vocabulary=60, dim=32, attention_dim=24, ffn_dim=40, heads=4, layers=3)
SIZES = {
    "attention": [(40, 200, 2, 16)],
    "loading": [TEXT],
    "umt5": [TEXT, 24],
    "vae": [wan_vae.VAEConfig(dim=6), (3, 3, 4)],
}


@pytest.mark.parametrize("name", SIZES)
def test_both_do_the_same_work(name, tmp_path):
    for library in ("torch", "diffusers", "transformers"):
        pytest.importorskip(library)
    peer = importlib.import_module(f"ports.peers.{name}")
    (row,) = run_peer_benchmark({name: lambda folder: peer.compare(folder, *SIZES[name])}, 1, tmp_path)["rows"]
    assert row["ours_s"] > 0 and row["theirs_s"] > 0
