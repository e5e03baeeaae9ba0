"""UMT5 beside transformers' encoder, random weights, loaded under transformers' own names."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch

from ports.peers.umt5 import draw
from ports.wan.encoders import umt5
from tests.wan.released import convert

pytestmark = pytest.mark.torch


@pytest.mark.parametrize(
    ("seed", "config"),
    [
        (0, umt5.UMT5Config(vocabulary=60, dim=32, attention_dim=24, ffn_dim=40, heads=4, layers=3)),
        (1, umt5.UMT5Config(vocabulary=33, dim=20, attention_dim=48, ffn_dim=24, heads=3, layers=2, max_distance=64)),
        (2, umt5.UMT5Config(vocabulary=90, dim=16, attention_dim=16, ffn_dim=64, heads=2, layers=5, buckets=16)),
    ],
)
def test_hidden_states_agree(seed, config):
    reference = draw(config, seed=seed)
    with torch.no_grad():
        for parameter in reference.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    tensors = {key: tensor.numpy() for key, tensor in reference.state_dict().items()}
    unused = {key for key in tensors if any(re.fullmatch(pattern, key) for pattern in umt5.COMPONENT.unused)}
    tensors = {key: tensor for key, tensor in tensors.items() if key not in unused}
    _, params = convert(umt5.COMPONENT, tensors, config, "transformers")

    ids = torch.randint(0, config.vocabulary, (3, 140))
    mask = (torch.arange(140) < torch.tensor([140, 31, 1])[:, None]).long()
    with torch.no_grad():
        expected = reference(input_ids=ids, attention_mask=mask).last_hidden_state.numpy()
    with jax.default_matmul_precision("highest"):
        got = umt5.encode(config, params, jnp.asarray(ids.numpy(), jnp.int32), jnp.asarray(mask.numpy(), jnp.int32))
    np.testing.assert_allclose(got, expected * mask.numpy()[..., None], atol=2e-5, rtol=1e-4)
