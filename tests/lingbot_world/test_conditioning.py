"""Sizes, lengths, and what the first frame gives to every chunk."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ports.lingbot_world.conditioning import (
    encode_first_frame,
    image_cells,
    image_chunks,
    latent_size,
    rollout_length,
)
from ports.wan.autoencoders import wan_vae
from ports.wan.encoders.resize import bicubic
from tests.lingbot_world.released_folder import random_params

CODER = wan_vae.VAEConfig(dim=4)


def test_a_picture_of_480_by_832_loses_two_rows():
    assert latent_size((480, 832), 480 * 832) == (58, 104)
    assert latent_size((832, 480), 480 * 832) == (104, 60)


@pytest.mark.parametrize(("size", "area"), [((480, 832), 100), ((1, 5000), 480 * 832)])
def test_pictures_that_are_too_small(size, area):
    with pytest.raises(ValueError, match="expected at least 2 x 2"):
        latent_size(size, area)


def test_lengths():
    length = rollout_length(360, 360)
    assert (length.poses, length.latents, length.frames, length.chunks) == (357, 90, 357, 30)
    assert rollout_length(81).latents == 21
    assert rollout_length(1000, 140).frames == 129


@pytest.mark.parametrize(("frames", "poses"), [(8, 50), (50, 8), (1, 1)])
def test_less_than_a_chunk(frames, poses):
    with pytest.raises(ValueError, match="less than a chunk of 3 latent frames; give at least 9"):
        rollout_length(frames, poses)


def test_the_mask_marks_the_first_frame():
    cells = image_cells(jnp.full((2, 6, 4, 6, 16), 5.0))
    assert cells.shape == (2, 6, 4, 6, 20)
    assert (cells[:, 0, ..., :4] == 1).all() and (cells[:, 1:, ..., :4] == 0).all() and (cells[..., 4:] == 5).all()


def test_chunks_repeat_the_last_frame():
    cells = jnp.arange(5.0)[None, :, None, None, None]
    chunks = image_chunks(cells)
    assert [next(chunks)[0, :, 0, 0, 0].tolist() for _ in range(3)] == [[0, 1, 2], [3, 4, 4], [4, 4, 4]]


def test_a_picture_becomes_the_first_latent_frame():
    """Encoded as a clip: the picture, stretched as PyTorch does, then grey."""
    params = random_params(wan_vae.abstract_params(CODER))
    picture = np.random.default_rng(0).integers(0, 256, (20, 50, 3), np.uint8)
    got = encode_first_frame(CODER, params, picture, rows=4, columns=6, latents=3)
    frame = bicubic(jnp.asarray(picture, jnp.float32) / 127.5 - 1, 32, 48)
    clip = jnp.concatenate([frame[None], jnp.zeros((8, 32, 48, 3))])
    want = jax.jit(wan_vae.encode, static_argnums=0)(CODER, params, clip[None])
    np.testing.assert_allclose(got[..., 4:], want, atol=1e-5)
    assert got.shape == (1, 3, 4, 6, 20) and (got[:, 0, ..., :4] == 1).all()
