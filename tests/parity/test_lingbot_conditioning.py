"""Image mask, sizes and lengths of LingBot-World rollouts against the released code."""

import functools

import jax.numpy as jnp
import numpy as np
import pytest

from ports.lingbot_world.backbone import LingBotWorld
from ports.lingbot_world.size import latent_size, rollout_length
from ports.wan.latents import CELL, LATENT_CHANNELS
from ports.wan.program.first_frame import mask_first
from tests.parity.goldens import find_cases, load_case

load = functools.lru_cache(load_case)


def pytest_generate_tests(metafunc):
    def has_sizes(meta):
        return isinstance(meta.get("cases"), dict) and meta["cases"].keys() & {"mask", "sizes", "frames"}

    cases = find_cases(metafunc.config.getoption("--goldens"), has_sizes)
    metafunc.parametrize("path", cases, ids=[path.stem for path in cases])


def _part(path, name):
    """One part of a case and the tensors of all, skipped where the case lacks it."""
    meta, tensors = load(path)
    if name not in meta["cases"]:
        pytest.skip(f"no part {name!r}")
    return meta["cases"][name], tensors


def test_mask(path):
    meta, tensors = _part(path, "mask")
    want = tensors["out/mask"]
    assert want.shape[1] == meta["lat_f"]
    cells = mask_first(jnp.full((1, *want.shape[1:], LATENT_CHANNELS), 7.0))
    np.testing.assert_array_equal(np.moveaxis(cells[0, ..., : want.shape[0]], -1, 0), want)
    assert (cells[..., want.shape[0] :] == 7).all()


def test_sizes(path):
    for case in _part(path, "sizes")[0]:
        rows, columns = latent_size(case["img_hw"], case["max_area"])
        assert (rows, columns) == (case["lat_h"], case["lat_w"]), case
        assert (rows * CELL, columns * CELL) == (case["h"], case["w"]), case
        assert LingBotWorld(rows=rows, columns=columns).spec.tokens_per_frame == case["tokens_per_frame"], case


def test_frames(path):
    for case in _part(path, "frames")[0]:
        length = rollout_length(case["frame_num"], case["pose_len"])
        got = (length.poses, length.latents, length.frames, length.chunks)
        assert got == (case["effective"], case["lat_f"], case["F"], case["n_chunks"]), case
