"""The first image: cut, resized, encoded."""

import jax
import numpy as np
import pytest
from PIL import Image

from ports.matrix_game2.scene import SceneEncoder, fit_picture
from ports.wan.autoencoders import wan_vae
from ports.wan.encoders import clip
from tests.matrix_game2.worlds import VAE, draw

CLIP = clip.CLIPConfig(image_size=28, patch_size=14, dim=24, heads=2, layers=2, mlp_dim=32, out_dim=8)


def gradient(rows, columns):
    """A picture whose red tells the column and whose green tells the row, from 0 to 255."""
    picture = np.zeros((rows, columns, 3), np.uint8)
    picture[..., 0] = np.linspace(0, 255, columns).round()
    picture[..., 1] = np.linspace(0, 255, rows)[:, None].round()
    return picture


def test_the_middle_is_kept():
    wide, tall = fit_picture(gradient(352, 1280)), fit_picture(gradient(704, 640))
    assert wide.shape == tall.shape == (352, 640, 3)
    assert wide.dtype == np.float32
    np.testing.assert_allclose(wide[:, [0, -1], 0].mean(axis=0), [-0.5, 0.5], atol=0.01)  # a quarter cut on each side
    np.testing.assert_allclose(wide[[0, -1], :, 1].mean(axis=1), [-1, 1], atol=0.01)
    np.testing.assert_allclose(tall[[0, -1], :, 1].mean(axis=1), [-0.5, 0.5], atol=0.01)
    np.testing.assert_allclose(tall[:, [0, -1], 0].mean(axis=0), [-1, 1], atol=0.01)


def test_a_picture_of_the_right_size_stays_as_it_is():
    picture = np.random.default_rng(0).integers(0, 256, (352, 640, 3), dtype=np.uint8)
    np.testing.assert_allclose(fit_picture(picture), picture / 127.5 - 1, atol=1e-6)


def test_shrinking_averages():
    stripes = np.zeros((704, 1280, 3), np.uint8)
    stripes[:, ::2] = 255
    np.testing.assert_allclose(fit_picture(stripes)[:, 2:-2], 0, atol=0.05)  # not every other pixel: a mean grey


@pytest.mark.parametrize("size", [(1, 2), (3, 2000), (900, 17), (64, 64), (353, 641)])
def test_any_size_or_aspect(size):
    assert fit_picture(gradient(*size)).shape == (352, 640, 3)
    assert fit_picture(gradient(*size), 32, 48).shape == (32, 48, 3)


def test_nothing_can_be_cut_from_a_line_of_pixels():
    with pytest.raises(ValueError, match="1 x 50 pixels has no middle part with the aspect 640 : 352"):
        fit_picture(gradient(50, 1))


def test_grey_and_transparent_pictures():
    picture = gradient(40, 60)
    grey = Image.fromarray(picture).convert("L")
    for image in (grey, Image.fromarray(picture).convert("RGBA"), grey.convert("P")):
        assert fit_picture(image).shape == (352, 640, 3)
    np.testing.assert_allclose(fit_picture(Image.fromarray(picture).convert("RGBA")), fit_picture(picture))


@pytest.mark.parametrize(
    "picture",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4, 3), "u1")],
)
def test_arrays_that_are_no_pictures(picture):
    with pytest.raises(ValueError, match="expected uint8"):
        fit_picture(picture)


@pytest.mark.long
def test_a_scene_is_encoded():
    encoder = SceneEncoder(
        vae=VAE,
        vae_params=draw(wan_vae.abstract_params(VAE), seed=3),
        clip=CLIP,
        clip_params=draw(clip.COMPONENT.abstract(CLIP), seed=4),
    )
    pictures = jax.device_put(np.stack([fit_picture(gradient(50, 60), 16, 32), fit_picture(gradient(9, 70), 16, 32)]))
    scene = encoder(pictures, chunks=2)
    assert scene.cells.shape == (2, 6, 2, 4, 20)
    assert scene.tokens.shape == (2, 5, 24)
    np.testing.assert_array_equal(scene.cells[:, 0, ..., :4], 1)
    np.testing.assert_array_equal(scene.cells[:, 1:, ..., :4], 0)
    assert np.abs(scene.cells[0] - scene.cells[1]).max() > 1e-3
    assert np.abs(scene.tokens[0] - scene.tokens[1]).max() > 1e-3
    four = scene.of_worlds(4)
    np.testing.assert_array_equal(four.cells[2:], np.repeat(scene.cells[1:], 2, axis=0))
    with pytest.raises(ValueError, match="3 worlds cannot begin with 2 pictures"):
        scene.of_worlds(3)
