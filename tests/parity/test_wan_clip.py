"""The CLIP visual tower and its preprocessing against the released code."""

import math

import jax
import numpy as np

from ports.wan.encoders import clip
from ports.wan.encoders.resize import bicubic
from ports.wan.nn.parameters import bind
from tests.parity.goldens import find_cases, load_case
from tests.wan.released import convert


def pytest_generate_tests(metafunc):
    paths = find_cases(metafunc.config.getoption("--goldens"), "clip_visual")
    names = {"video": "in/video", "grid": "out/pos_interpolate_"}
    for fixture, prefix in names.items():
        if fixture in metafunc.fixturenames:
            cases = [(path, name) for path in paths for name in load_case(path)[1] if name.startswith(prefix)]
            ids = [f"{path.parent.name}-{path.stem}-{name.partition('/')[2]}" for path, name in cases]
            metafunc.parametrize(fixture, cases, ids=ids)


def _load(path):
    meta, tensors = load_case(path)
    tolerance = {name: meta["suggested_tolerance"][name] for name in ("atol", "rtol")}
    return meta, tensors, tolerance


def _channels_last(a):
    return np.moveaxis(a, 1, -1)


def test_tokens_of_a_video(video):
    path, name = video
    meta, tensors, tolerance = _load(path)
    number = name.removeprefix("in/video")
    params = {key.removeprefix("params/"): t for key, t in tensors.items() if key.startswith("params/")}
    config, params = convert(clip.COMPONENT, params, meta["config"])
    assert config.image_size == meta["config"]["image_size"]
    frames = jax.device_put(np.moveaxis(tensors[name], 0, -1))
    pixels = clip.preprocess(frames, config.image_size)
    tower = bind(clip.VisionTower, config, params)
    made = {
        "resized": bicubic(frames, config.image_size, config.image_size),
        "pixels": pixels,
        "visual_31_block": clip.encode_image(config, params, frames),
        "visual_all_blocks": tower(pixels, blocks=config.layers),
    }
    for part, got in made.items():
        expected = tensors[f"out/{part}{number}"]
        np.testing.assert_allclose(got, expected if got.ndim == 3 else _channels_last(expected), **tolerance)
    if number == "0":  # the case that records what is inside
        np.testing.assert_allclose(tower.embed(pixels), tensors["out/tokens_pre_norm"], **tolerance)
        np.testing.assert_allclose(tower(pixels, blocks=1), tensors["out/block0"], **tolerance)


def test_grid_of_positions(grid):
    """No video model resizes the position embedding; this is the same filter on another input, enlarging."""
    path, name = grid
    _, tensors, tolerance = _load(path)
    before, after = map(int, name.removeprefix("out/pos_interpolate_").split("_to_"))
    tokens = jax.device_put(tensors[f"in/pos{before}"])
    old, new = math.isqrt(before - 1), math.isqrt(after - 1)
    got = bicubic(tokens[:, 1:].reshape(len(tokens), old, old, -1), new, new).reshape(len(tokens), new * new, -1)
    np.testing.assert_allclose(got, tensors[name][:, 1:], **tolerance)
    np.testing.assert_array_equal(tokens[:, :1], tensors[name][:, :1])
