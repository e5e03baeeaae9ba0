"""Loading a PyTorch checkpoint beside ``torch.load``, which leaves every tensor as it lies in the file."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import torch

from checkpoints.parameter_paths import flatten
from checkpoints.restore import load_params
from ports.wan.encoders import umt5
from worldkv_jax.benchmarks.pairs import Pair, Place, Work

SIZE = umt5.UMT5Config(vocabulary=60_000, dim=768, attention_dim=768, ffn_dim=2048, heads=12, layers=12)


def compare(place: Place, config: umt5.UMT5Config = SIZE) -> Pair:
    """Load a text encoder, float32; what is compared is how many numbers there are."""
    file = place.scratch / umt5.COMPONENT.files[0]
    targets = umt5.COMPONENT.tensors(config, "original")
    count = sum(math.prod(target.shape) for target in targets.values())
    if not file.exists():
        torch.save({key: torch.randn(target.shape) for key, target in targets.items()}, file)

    def ours():
        _, params = load_params(place.scratch, umt5.COMPONENT, dtype=jnp.float32)
        return np.array(sum(leaf.size for leaf in flatten(jax.block_until_ready(params)).values()))

    def theirs() -> Work:
        return lambda: np.array(sum(tensor.numel() for tensor in torch.load(file, weights_only=True).values()))

    what = f"{count / 1e6:.0f} million numbers of a .pth, float32"
    return Pair(what=what, ours=lambda: ours, theirs=theirs, tolerance=0.0)
