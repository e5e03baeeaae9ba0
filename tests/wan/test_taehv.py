"""TAEHV: streams in any grouping, what is trimmed and padded, its checkpoint."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ports.wan.autoencoders import taehv
from tests.wan.drawn import draw
from tests.wan.released import convert, fingerprint, paths, tensors_of

SMALL = taehv.TAEHVConfig(encoder_width=6, decoder_widths=(16, 12, 8, 6))
HALF = taehv.TAEHVConfig(encoder_width=6, decoder_widths=(16, 12, 8, 6), compute_dtype="bfloat16")

traced = []


def _decode(config, params, latents, state=None, *, raw=False):
    traced.append(state)
    return taehv.decode(config, params, latents, state, raw=raw)


decode = jax.jit(_decode, static_argnums=0, static_argnames="raw")


@pytest.fixture(scope="module")
def params():
    return draw(taehv.abstract_params(SMALL), 0)


@pytest.fixture(scope="module")
def latents():
    return np.random.default_rng(1).standard_normal((2, 7, 2, 3, 16), np.float32)


@pytest.fixture(scope="module")
def whole(params, latents):
    return jax.tree.map(np.asarray, decode(SMALL, params, latents))


def stream(config, params, latents, sizes):
    frames, state = [], None
    for chunk in np.split(latents, np.cumsum(sizes)[:-1], axis=1):
        made, state = decode(config, params, chunk, state)
        frames.append(made)
    return np.concatenate(frames, axis=1), state


@pytest.mark.parametrize("sizes", [(1, 6), (3, 3, 1)])
def test_chunks_equal_the_whole(params, latents, whole, sizes):
    frames, state = stream(SMALL, params, latents, sizes)
    assert frames.shape == (2, 4 * 7 - 3, 16, 24, 3)
    np.testing.assert_allclose(frames, whole[0], atol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), state, whole[1])


def test_a_batch_equals_its_worlds_one_by_one(params, latents, whole):
    for world in range(2):
        alone, _ = decode(SMALL, params, latents[world : world + 1, :3])
        np.testing.assert_allclose(alone, whole[0][world : world + 1, :9], atol=1e-5)


def test_frames_are_trimmed_clamped_and_in_the_range_of_the_vae(params, latents, whole):
    raw, _ = decode(SMALL, params, latents, raw=True)
    assert raw.shape[1] == 4 * 7 and np.min(raw) < 0
    np.testing.assert_array_equal(whole[0], 2 * np.clip(np.asarray(raw)[:, 3:], 0, 1) - 1)


def test_a_stream_takes_two_programs(params, latents):
    _, state = stream(SMALL, params, latents[:, :6], (3, 3))
    before = len(traced)
    for _ in range(2):
        _, state = decode(SMALL, params, latents[:, :3], state)
    assert len(traced) == before


def test_the_state_is_fixed_and_known_ahead(whole):
    described = taehv.decoder_state(SMALL, 16, 24, worlds=2)
    assert len(described) == 9 and {a.shape[1] for a in described} == {1}
    assert [(a.shape, a.dtype) for a in described] == [(a.shape, a.dtype) for a in whole[1]]
    released = taehv.TAEHVConfig(compute_dtype="bfloat16")
    assert taehv.decoder_state_bytes(released, 480, 832, worlds=2) == 2 * 67_092_480


def test_encode_fills_the_last_group_with_the_last_frame(params):
    video = np.random.default_rng(2).uniform(-1, 1, (2, 9, 16, 24, 3)).astype(np.float32)
    encode = jax.jit(taehv.encode, static_argnums=0)
    z = encode(SMALL, params, video)
    assert z.shape == (2, 3, 2, 3, 16) and z.dtype == jnp.float32
    filled = np.concatenate([video, video[:, -1:].repeat(3, axis=1)], axis=1)
    np.testing.assert_array_equal(encode(SMALL, params, filled), z)


def test_bfloat16(params, latents, whole):
    half = jax.tree.map(lambda a: np.asarray(a).astype(jnp.bfloat16), params)
    frames, state = decode(HALF, half, latents[:, :3])
    exact = whole[0][:, :9]
    assert frames.dtype == jnp.float32 and {a.dtype for a in state} == {jnp.dtype(jnp.bfloat16)}
    assert np.sqrt(np.mean((frames - exact) ** 2)) < 0.05 * np.std(exact)


def test_errors(params, latents, whole):
    with pytest.raises(ValueError, match=r"expected \[B, F, h, w, 16\]"):
        taehv.decode(SMALL, params, latents[..., :4])
    with pytest.raises(ValueError, match="go on with the state that the pass before returned"):
        taehv.decode(SMALL, params, latents[:1], whole[1])
    with pytest.raises(ValueError, match="16x20 pixels, expected multiples of 8"):
        taehv.encode(SMALL, params, jnp.zeros((1, 4, 16, 20, 3)))
    with pytest.raises(ValueError, match="must be four"):
        taehv.TAEHVConfig(decoder_widths=(8, 8))


def test_every_tensor_of_the_released_weights_has_its_place():
    config = taehv.TAEHVConfig()
    targets = tensors_of(taehv.COMPONENT, config)
    assert fingerprint(targets) == (128, 11_315_539, "8f11aad0f5ff47bd")
    assert taehv.COMPONENT.configure({key: target.shape for key, target in targets.items()}, {}) == config
    assert taehv.COMPONENT.from_json(json.loads(json.dumps(taehv.COMPONENT.to_json(SMALL)))) == SMALL


def test_tensors_come_back_bit_for_bit():
    generator = np.random.default_rng(0)
    targets = tensors_of(taehv.COMPONENT, SMALL)
    tensors = {key: generator.standard_normal(t.shape).astype(np.float32) for key, t in targets.items()}
    leaves = paths(convert(taehv.COMPONENT, tensors, {})[1])
    for key, target in targets.items():
        np.testing.assert_array_equal(target.transform.undo(np.asarray(leaves[target.path])), tensors[key], err_msg=key)
