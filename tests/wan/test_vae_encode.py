"""The VAE's encoder: groups of frames, what is dropped, and images followed by nothing."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ports.wan.autoencoders import wan_vae
from tests.wan.drawn import draw

SMALL = wan_vae.VAEConfig(dim=4, dim_mult=(1, 2, 2), num_res_blocks=1, temporal_downsample=(True, True))

encode = jax.jit(wan_vae.encode, static_argnums=0)
encode_image = jax.jit(wan_vae.encode_image, static_argnums=(0, 3))


@pytest.fixture(scope="module")
def params():
    return {"encoder": draw(wan_vae.abstract_params(SMALL)["encoder"], 0)}


@pytest.fixture(scope="module")
def video():
    return np.random.default_rng(1).uniform(-1, 1, (2, 11, 8, 12, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def latents(params, video):
    return np.asarray(encode(SMALL, params, video))


def blacked_out(video, frames):
    video = video.copy()
    video[:, frames] = 0.0
    return video


def test_a_frame_then_groups_of_four_and_the_rest_is_dropped(params, video, latents):
    assert latents.shape == (2, 3, 2, 3, 16) and latents.dtype == jnp.float32
    np.testing.assert_array_equal(encode(SMALL, params, blacked_out(video, slice(9, None))), latents)
    np.testing.assert_allclose(encode(SMALL, params, video[:, :1]), latents[:, :1], atol=1e-6)


def test_a_stream_goes_on_with_whole_groups(params, video, latents):
    encode_next = jax.jit(wan_vae.encode_next, static_argnums=0)
    first, state = encode_next(SMALL, params, video[:, :5])
    second, state = encode_next(SMALL, params, video[:, 5:9], state)
    np.testing.assert_allclose(np.concatenate([first, second], axis=1), latents, atol=1e-5)
    with pytest.raises(ValueError, match="2 frames go on with a stream, expected a multiple of 4"):
        wan_vae.encode_next(SMALL, params, video[:, 9:], state)


def test_latents_know_no_later_frames(params, video, latents):
    changed = np.asarray(encode(SMALL, params, blacked_out(video, 5)))
    np.testing.assert_array_equal(changed[:, :2], latents[:, :2])
    assert np.abs(changed[:, 2] - latents[:, 2]).max() > 1e-3


def test_a_batch_equals_its_worlds_one_by_one(params, video, latents):
    for world in range(2):
        alone = encode(SMALL, params, video[world : world + 1])
        np.testing.assert_allclose(alone, latents[world : world + 1], atol=1e-5)


def test_log_variances_are_not_used(params, video, latents):
    moments = jax.tree.map(np.array, params["encoder"]["moments"])
    moments["kernel"][:, 16:] = moments["bias"][16:] = np.nan
    np.testing.assert_array_equal(encode(SMALL, {"encoder": {**params["encoder"], "moments": moments}}, video), latents)


def test_how_far_the_encoder_looks_back():
    assert (wan_vae.VAEConfig().encoder_reach, wan_vae.VAEConfig().still_latents) == (112, 30)


def test_an_image_followed_by_nothing(params):
    """Encoding stops where nothing changes any more; it equals the encoding of the whole clip."""
    last = SMALL.still_latents - 1
    image = np.random.default_rng(3).uniform(-1, 1, (1, 8, 12, 3)).astype(np.float32)
    clip = np.concatenate([image[:, None], np.zeros((1, 4 * (last + 3), 8, 12, 3), np.float32)], axis=1)
    expected = np.asarray(encode(SMALL, params, clip))
    np.testing.assert_array_equal(expected[:, last:], expected[:, -1:].repeat(4, axis=1))
    np.testing.assert_allclose(encode_image(SMALL, params, image, last + 4), expected, atol=1e-6)


def test_an_image_alone(params, video, latents):
    np.testing.assert_allclose(encode_image(SMALL, params, video[:, 0], 1), latents[:, :1], atol=1e-6)


def test_bfloat16(params, video, latents):
    half = dataclasses.replace(SMALL, compute_dtype="bfloat16")
    z = encode(half, jax.tree.map(lambda a: np.asarray(a).astype(jnp.bfloat16), params), video)
    assert z.dtype == jnp.float32
    assert np.sqrt(np.mean((z - latents) ** 2)) < 0.05 * np.std(latents)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 5, 16, 24, 4), r"video has shape .*expected \[B, T, H, W, 3\]"),
        ((1, 0, 16, 24, 3), "no axis empty"),
        ((5, 16, 24, 3), r"expected \[B, T, H, W, 3\]"),
        ((1, 5, 16, 18, 3), "16x18 pixels, expected multiples of 4: crop or resize it"),
    ],
)
def test_videos_of_another_shape(params, shape, message):
    with pytest.raises(ValueError, match=message):
        wan_vae.encode(SMALL, params, np.zeros(shape, np.float32))


def test_images_of_another_shape(params):
    with pytest.raises(ValueError, match=r"image has shape .*expected \[B, H, W, 3\]"):
        wan_vae.encode_image(SMALL, params, np.zeros((1, 1, 16, 24, 3), np.float32), 2)
    with pytest.raises(ValueError, match="latents=0 must be at least 1"):
        wan_vae.encode_image(SMALL, params, np.zeros((1, 16, 24, 3), np.float32), 0)
