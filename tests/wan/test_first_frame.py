"""What the first frame gives to every chunk, and the sizes of frames."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ports.wan.autoencoders import wan_vae
from ports.wan.program.first_frame import cells_of_chunk, draw_first_frame, encode_first_frame, mask_first
from ports.wan.program.frame_size import read_size
from tests.wan.released import random_params

CODER = wan_vae.VAEConfig(dim=4)


def test_the_mask_marks_the_first_frame():
    cells = mask_first(jnp.full((2, 6, 4, 6, 16), 5.0))
    assert cells.shape == (2, 6, 4, 6, 20)
    assert (cells[:, 0, ..., :4] == 1).all() and (cells[:, 1:, ..., :4] == 0).all() and (cells[..., 4:] == 5).all()


def test_chunks_repeat_the_last_frame():
    cells = jnp.arange(5.0)[None, :, None, None, None]
    chunks = [cells_of_chunk(cells, chunk) for chunk in range(3)]
    assert [chunk[0, :, 0, 0, 0].tolist() for chunk in chunks] == [[0, 1, 2], [3, 4, 4], [4, 4, 4]]


def test_frames_are_encoded_as_clips_that_turn_grey():
    params = random_params(wan_vae.abstract_params(CODER))
    frames = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (2, 32, 48, 3)), jnp.float32)
    got = encode_first_frame(CODER, params, frames, latents=3)
    clip = jnp.concatenate([frames[:, None], jnp.zeros((2, 8, 32, 48, 3))], axis=1)
    want = jax.jit(wan_vae.encode, static_argnums=0)(CODER, params, clip)
    np.testing.assert_allclose(got[..., 4:], want, atol=1e-5)
    assert got.shape == (2, 3, 4, 6, 20) and (got[:, 0, ..., :4] == 1).all()


def test_past_the_reach_of_the_encoder_nothing_is_made():
    abstract = wan_vae.abstract_params(CODER)
    frames = jax.ShapeDtypeStruct((1, 16, 16, 3), jnp.float32)
    encoded = jax.eval_shape(lambda p, f: encode_first_frame(CODER, p, f, latents=1000), abstract, frames)
    assert encoded.shape == draw_first_frame(CODER, jax.random.key(0), (2, 2), latents=1000).shape == (1, 30, 2, 2, 20)


@pytest.mark.parametrize("size", ["480x832", "480*832", (480, 832)])
def test_sizes_are_height_and_width(size):
    assert read_size("size", size, like="480x832") == (480, 832)


@pytest.mark.parametrize(
    ("size", "says"),
    [
        ("480", "`size` '480': expected height and width in pixels, such as 32x48"),
        ("480x", "expected height and width"),
        ("0x48", "expected height and width"),
        ((480,), "expected height and width"),
        ("40x48", "`size` 40x48 is not in multiples of 16 pixels; give 32x48"),
        ((7, 50), "not in multiples of 16 pixels; give 16x48"),
    ],
)
def test_sizes_that_cannot_be(size, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        read_size("size", size, like="32x48")
