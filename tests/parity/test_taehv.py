"""TAEHV against the released code: encoding, decoding in chunks, the memory of every block."""

import functools
import re

import jax
import numpy as np
import pytest

from ports.wan.autoencoders import taehv
from tests.parity.goldens import find_cases, load_case
from tests.wan.released import convert

decode = jax.jit(taehv.decode, static_argnums=0, static_argnames="raw")


def pytest_generate_tests(metafunc):
    paths = find_cases(metafunc.config.getoption("--goldens"), "taehv")
    metafunc.parametrize("path", paths, ids=[path.parent.name for path in paths])


@pytest.fixture
def case(path):
    meta, tensors = load_case(path)
    tolerance = meta.get("suggested_tolerance", {"atol": 2e-5, "rtol": 1e-4})
    params = {key.removeprefix("params/"): t for key, t in tensors.items() if key.startswith("params/")}
    config, params = convert(taehv.COMPONENT, params, {})
    arrays = {key: np.moveaxis(t, -3, -1) for key, t in tensors.items() if not key.startswith("params/")}
    return meta, arrays, config, params, functools.partial(np.testing.assert_allclose, **tolerance)


def _either(arrays, *names):
    """Return what was recorded under one of these names."""
    (found,) = (arrays[name] for name in names if name in arrays)
    return found


def _decode_chunks(config, params, latents, *, raw):
    frames, state = [], None
    for start in range(0, latents.shape[1], 3):
        made, state = decode(config, params, latents[:, start : start + 3], state, raw=raw)
        frames.append(made)
    return np.concatenate(frames, axis=1)


def test_encode(case):
    _, arrays, config, params, close = case
    video = _either(arrays, "in/video", "in/video01")
    close(
        jax.jit(taehv.encode, static_argnums=0)(config, params, 2 * video - 1),
        _either(arrays, "out/encode_inspatio", "out/latent"),
    )


def test_decode_all_frames_in_chunks(case):
    _, arrays, config, params, close = case
    expected = _either(arrays, "out/decode_raw_all_frames", "out/decode_raw")
    close(_decode_chunks(config, params, arrays["in/latent"], raw=True), expected)


def test_decode_trims_and_clamps(case):
    """As InSpatio-World does; ours are in [-1, 1]."""
    _, arrays, config, params, close = case
    raw = _either(arrays, "out/decode_raw_all_frames", "out/decode_raw")
    recorded = [arrays[name] for name in ("out/decode_inspatio", "out/decode") if name in arrays]
    frames = (_decode_chunks(config, params, arrays["in/latent"], raw=False) + 1) / 2
    for expected in [np.clip(raw[:, 3:], 0, 1), *recorded]:
        close(frames, expected)


def test_memory_after_each_chunk(case):
    meta, arrays, config, params, close = case
    latents, state, start = arrays["in/latent"], None, 0
    for number, size in enumerate(meta.get("stream_chunks_latent_frames", [latents.shape[1]])):
        _, state = decode(config, params, latents[:, start : start + size], state)
        start += size
        pattern = rf"out/dec_mem_after_chunk{number}/(\d+)"
        recorded = sorted((int(m[1]), key) for key in arrays if (m := re.fullmatch(pattern, key)))
        assert len(state) == 9 and len(recorded) in (0, 9)
        for memory, (_, key) in zip(state, recorded):
            close(np.asarray(memory)[:, 0], arrays[key])
