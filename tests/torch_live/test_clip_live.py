"""CLIP's visual tower beside transformers', and bicubic resizing beside PyTorch's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch

from ports.peers.clip import draw, released_tensors
from ports.wan.encoders import clip
from ports.wan.encoders.resize import bicubic
from tests.wan.released import convert

pytestmark = pytest.mark.torch


@pytest.mark.parametrize(
    ("seed", "config"),
    [
        (0, clip.CLIPConfig(image_size=30, patch_size=6, dim=32, heads=4, layers=4, mlp_dim=64, out_dim=12)),
        (1, clip.CLIPConfig(image_size=28, patch_size=14, dim=48, heads=3, layers=2, mlp_dim=40, out_dim=8)),
    ],
)
def test_tokens_agree(seed, config):
    reference = draw(config, seed=seed)
    with torch.no_grad():
        for parameter in reference.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    settings = {"vision_heads": config.heads}
    found, params = convert(
        clip.COMPONENT, {key: t.numpy() for key, t in released_tensors(reference.state_dict()).items()}, settings
    )
    assert found == config

    images = torch.rand(2, 3, 45, 77) * 2 - 1
    size = (config.image_size, config.image_size)
    resized = torch.nn.functional.interpolate(images, size=size, mode="bicubic", align_corners=False)
    mean, std = (torch.tensor(numbers)[:, None, None] for numbers in (clip.MEAN, clip.STD))
    with torch.no_grad():
        pixels = (resized * 0.5 + 0.5 - mean) / std
        expected = reference(pixel_values=pixels, output_hidden_states=True).hidden_states[-2].numpy()
    with jax.default_matmul_precision("highest"):
        got = clip.encode_image(config, params, jnp.asarray(images.numpy().transpose(0, 2, 3, 1)))
    np.testing.assert_allclose(got, expected, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("size", "resized"),
    [((352, 640), (224, 224)), ((480, 832), (224, 224)), ((720, 1280), (480, 832)), ((17, 5), (31, 64))],
)
def test_bicubic_agrees(size, resized):
    """Noise, the sharpest of images: positions rounded otherwise than PyTorch's would show."""
    image = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    expected = torch.nn.functional.interpolate(image, size=resized, mode="bicubic", align_corners=False)
    got = bicubic(jnp.asarray(image.numpy().transpose(0, 2, 3, 1)), *resized)
    np.testing.assert_allclose(got, expected.numpy().transpose(0, 2, 3, 1), atol=3e-6)
