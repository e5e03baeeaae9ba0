"""The VAE beside diffusers' AutoencoderKLWan, random weights, loaded under diffusers' own names."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ports.wan.autoencoders import wan_vae
from ports.wan.nn.layers import along_last
from tests.wan.released import convert

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

pytestmark = pytest.mark.torch


@pytest.fixture(params=[(0, (False, True, True)), (1, (True, False, True))], ids=["released", "other times"])
def pair(request):
    """Return the reference, and our configuration and parameters of the same weights."""
    seed, temporal = request.param
    config = wan_vae.VAEConfig(dim=6 + seed, dim_mult=(1, 2, 3, 3 + seed), temporal_downsample=temporal)
    torch.manual_seed(seed)
    reference = diffusers.AutoencoderKLWan(
        base_dim=config.dim,
        z_dim=config.z_dim,
        dim_mult=list(config.dim_mult),
        num_res_blocks=config.num_res_blocks,
        temperal_downsample=list(temporal),
    ).eval()
    with torch.no_grad():
        for parameter in reference.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    tensors = {key: tensor.numpy() for key, tensor in reference.state_dict().items()}
    _, params = convert(wan_vae.COMPONENT, tensors, config, "diffusers")
    with jax.default_matmul_precision("highest"):
        yield reference, config, params


def _channels_first(a):
    return torch.from_numpy(np.moveaxis(np.asarray(a), -1, 1).copy())


def _channels_last(a):
    return np.moveaxis(a.numpy(), 1, -1)


def test_latents_agree(pair):
    reference, config, params = pair
    video = jax.random.uniform(jax.random.key(0), (2, 13, 24, 32, 3), jnp.float32, -1, 1)
    with torch.no_grad():
        mean = _channels_last(reference.encode(_channels_first(video)).latent_dist.mode())
    expected = (mean - np.array(wan_vae.LATENT_MEAN)) / np.array(wan_vae.LATENT_STD)
    got = jax.jit(wan_vae.encode, static_argnums=0)(config, params, video)
    np.testing.assert_allclose(got, expected, atol=2e-5, rtol=1e-4)


def test_frames_agree(pair):
    reference, config, params = pair
    latents = jax.random.normal(jax.random.key(1), (2, 6, 3, 4, 16))
    mean, std = (along_last(jnp.array(a, jnp.float32), latents) for a in (wan_vae.LATENT_MEAN, wan_vae.LATENT_STD))
    restored = latents * std + mean
    with torch.no_grad():
        expected = _channels_last(reference.decode(_channels_first(restored)).sample)
    decode = jax.jit(wan_vae.decode, static_argnums=0)
    first, state = decode(config, params, latents[:, :3])
    second, _ = decode(config, params, latents[:, 3:], state)
    np.testing.assert_allclose(np.concatenate([first, second], axis=1), expected, atol=2e-4, rtol=1e-4)
