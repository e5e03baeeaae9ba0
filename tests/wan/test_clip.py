"""CLIP visual tower: preprocessing, what is applied and what is only kept, and what a released checkpoint holds."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ports.wan.encoders import clip
from ports.wan.nn.parameters import init_params
from tests.wan.released import convert, fingerprint, paths, tensors_of

TINY = clip.CLIPConfig(image_size=12, patch_size=4, dim=24, heads=3, layers=3, mlp_dim=40, out_dim=10)


@pytest.fixture(scope="module")
def params():
    return init_params(clip.VisionTower, TINY, 0)


@pytest.fixture(scope="module")
def image():
    return jax.random.uniform(jax.random.key(1), (2, 9, 16, 3), jnp.float32, -1, 1)


def test_preprocessing_squeezes_and_normalises():
    colour = jnp.array([-1.0, 0.0, 0.5], jnp.float32)
    pixels = clip.preprocess(jnp.broadcast_to(colour, (2, 30, 50, 3)))
    assert pixels.shape == (2, 224, 224, 3) and pixels.dtype == jnp.float32
    expected = (np.array([0.0, 0.5, 0.75]) - clip.MEAN) / clip.STD
    np.testing.assert_allclose(pixels, np.broadcast_to(expected, pixels.shape), atol=1e-5)


def test_every_image_size_gives_the_same_number_of_tokens(params, image):
    encode = jax.jit(clip.encode_image, static_argnums=0)
    tokens = encode(TINY, params, image)
    assert tokens.shape == (2, 10, 24) and tokens.dtype == jnp.float32
    assert encode(TINY, params, image[:1, :5, :5]).shape == (1, 10, 24)
    np.testing.assert_allclose(encode(TINY, params, image[1:])[0], tokens[1], atol=1e-5)


def test_tokens_follow_the_patches_row_by_row(params):
    """Before the blocks, a patch changes its own token alone."""
    tower = clip.bind(clip.VisionTower, TINY, params)
    pixels = jnp.zeros((1, 12, 12, 3), jnp.float32)
    change = tower.embed(pixels.at[0, 5, 9, 1].set(1.0)) - tower.embed(pixels)  # row 1, column 2
    np.testing.assert_array_equal(np.flatnonzero(jnp.abs(change[0]).max(axis=-1)), [1 + 3 * 1 + 2])


def test_the_end_of_the_tower_is_kept_but_not_applied(params, image):
    other = dict(params, head=params["head"] + 1, post_norm=jax.tree.map(lambda a: a + 1, params["post_norm"]))
    other["blocks"] = jax.tree.map(lambda a: a.at[-1].add(1), params["blocks"])
    tokens = clip.encode_image(TINY, params, image)
    np.testing.assert_array_equal(clip.encode_image(TINY, other, image), tokens)
    other["blocks"] = jax.tree.map(lambda a: a.at[-2].add(1), params["blocks"])
    assert float(jnp.abs(clip.encode_image(TINY, other, image) - tokens).max()) > 0.1


def test_parameters_decide_the_dtype(params, image):
    exact = clip.encode_image(TINY, params, image)
    short = clip.encode_image(TINY, jax.tree.map(lambda p: p.astype(jnp.bfloat16), params), image)
    assert short.dtype == jnp.bfloat16
    np.testing.assert_allclose(short.astype(jnp.float32), exact, atol=0.15)


@pytest.mark.parametrize(
    "image", [np.zeros((8, 8, 3), np.float32), np.zeros((1, 3, 8, 8), np.float32), np.zeros((1, 8, 8, 3), np.uint8)]
)
def test_images_of_another_kind(image):
    with pytest.raises(ValueError, match=re.escape(f"shape {image.shape} and dtype {image.dtype}")):
        clip.preprocess(jax.device_put(image))


def test_the_key_table_lists_the_released_checkpoint():
    targets = tensors_of(clip.COMPONENT, clip.CLIPConfig())
    assert fingerprint(targets) == (392, 632_076_800, "abbab0a6bfb5a02d")
    for key in ("textual.token_embedding.weight", "textual.blocks.0.attn.q.weight", "log_scale"):
        assert any(re.fullmatch(pattern, key) for pattern in clip.COMPONENT.unused)
        assert key not in targets


def test_the_configuration_comes_from_the_shapes():
    shapes = {key: target.shape for key, target in tensors_of(clip.COMPONENT, clip.CLIPConfig()).items()}
    assert clip.COMPONENT.configure(shapes, {}) == clip.CLIPConfig()
    assert clip.COMPONENT.from_json(clip.COMPONENT.to_json(TINY)) == TINY
    del shapes["visual.head"]
    with pytest.raises(KeyError, match=r"visual\.head"):
        clip.COMPONENT.configure(shapes, {})


def test_heads_have_to_be_told_where_they_are_not_as_wide_as_usual():
    shapes = {key: target.shape for key, target in tensors_of(clip.COMPONENT, TINY).items()}
    assert clip.COMPONENT.configure(shapes, {"vision_heads": 3}) == TINY
    with pytest.raises(ValueError, match="vision_heads"):
        clip.COMPONENT.configure(shapes, {})
    with pytest.raises(ValueError, match="dim=24 is not a multiple of heads=5"):
        dataclasses.replace(TINY, heads=5)


def test_a_checkpoint_comes_back_whole(params):
    tensors = {}
    for key, target in tensors_of(clip.COMPONENT, TINY).items():
        leaf = np.asarray(paths(params)[target.path])
        tensors[key] = target.transform.undo(leaf if target.layer is None else leaf[target.layer])
    _, got = convert(clip.COMPONENT, tensors, {"vision_heads": 3})
    jax.tree.map(np.testing.assert_array_equal, got, params)
