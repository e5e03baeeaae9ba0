"""The Wan 2.1 VAE against the released code: encoding, decoding in chunks, every cache on the way."""

import dataclasses
import functools
import re

import jax
import numpy as np

from ports.wan.autoencoders import wan_vae
from ports.wan.autoencoders.streaming import run_piece
from ports.wan.autoencoders.wan_vae.networks import Decoder, Encoder
from ports.wan.nn.parameters import bind
from tests.parity.goldens import find_cases, load_case
from tests.wan.released import convert

# Recorded decodes: the decoder's rule, and whether they were clamped.
DECODES = {
    "out/decode_unclamped": ("wan", False),
    "out/decode_raw_wan21": ("wan", False),
    "out/decode_unclamped_inspatio": ("inspatio", False),
    "out/decode_raw": ("inspatio", False),
    "out/decode_pixel": ("inspatio", True),
}
FIXTURES = {
    "decoded": "|".join(DECODES),
    "encoded": "out/encode|out/latent",
    "still": "out/encode_image_then_zeros",
    "zero_cache": "out/decode_zero_cache_all_frames",
    "chunk": r"out/video_\d+",
    "decoder_cache": r"out/dec_cache_after_latent\d+/00",
    "encoder_cache": r"out/enc_cache_after_group\d+/00",
    "statistics": "in/inv_std",
}

decode = jax.jit(wan_vae.decode, static_argnums=0, static_argnames="raw")
encode = jax.jit(wan_vae.encode, static_argnums=0)
encode_image = jax.jit(wan_vae.encode_image, static_argnums=(0, 3))


def pytest_generate_tests(metafunc):
    paths = find_cases(metafunc.config.getoption("--goldens"), "vae")
    for fixture, pattern in FIXTURES.items():
        if fixture in metafunc.fixturenames:
            cases = [(path, name) for path in paths for name in _load(path)[1] if re.fullmatch(pattern, name)]
            ids = [f"{path.parent.name}-{path.stem}-{name.partition('/')[2]}" for path, name in cases]
            metafunc.parametrize(fixture, cases, ids=ids)


@functools.lru_cache(maxsize=4)
def _load(path):
    """Return what a case says, its tensors, its model and how near numbers must come."""
    meta, tensors = load_case(path)
    tolerance = meta.get("suggested_tolerance") or {
        "atol": meta.get("suggested_atol", 1e-4),
        "rtol": meta.get("suggested_rtol", 1e-4),
    }
    return meta, tensors, functools.partial(np.testing.assert_allclose, **tolerance)


@functools.lru_cache(maxsize=4)
def _model(path):
    meta, tensors, _ = _load(path)
    tensors = {key.removeprefix("params/"): t for key, t in tensors.items() if key.startswith("params/")}
    if any(key.startswith("encoder.") for key in tensors):
        config, params = convert(wan_vae.COMPONENT, tensors, {})
        assert config.dim == meta.get("config", meta)["dim"]
        return config, params
    config = wan_vae.VAEConfig(
        dim=meta["decoder_dim"],
        dim_mult=meta["dim_mult"],
        num_res_blocks=meta["num_res_blocks"],
        temporal_downsample=meta["temporal_upsample"][::-1],
    )
    decoder = dataclasses.replace(
        wan_vae.COMPONENT, abstract=lambda config: {"decoder": wan_vae.abstract_params(config)["decoder"]}
    )
    return convert(decoder, tensors, config)


def _channels_last(a, channels):
    """Move the channels last; released code has them before or after the frames."""
    (axis,) = (axis for axis in (1, 2) if a.shape[axis] == channels)
    return np.moveaxis(a, axis, -1)


def _video(a):
    return _channels_last(a, 3)


def _latents(a):
    return _channels_last(a, 16)


def test_latents_are_normalised_alike(statistics):
    _, tensors, close = _load(statistics[0])
    close(wan_vae.LATENT_MEAN, tensors["in/mean"])
    close(1 / np.array(wan_vae.LATENT_STD), tensors["in/inv_std"])


def _decode_chunks(config, params, latents, size, state=None):
    frames = []
    for start in range(0, latents.shape[1], size):
        made, state = decode(config, params, latents[:, start : start + size], state, raw=True)
        frames.append(made)
    return np.concatenate(frames, axis=1), jax.tree.map(np.asarray, state)


def test_decode_in_chunks(decoded):
    path, name = decoded
    rule, clamped = DECODES[name]
    _, tensors, close = _load(path)
    config, params = _model(path)
    config = dataclasses.replace(config, decoder_rule=rule)
    frames, _ = _decode_chunks(config, params, _latents(tensors["in/latent"]), 3)
    close(np.clip(frames, -1, 1) if clamped else frames, _video(tensors[name]))


def test_decode_a_stream_chunk_by_chunk(chunk):
    """Each chunk, and at the end the caches that were recorded."""
    path, name = chunk
    meta, tensors, close = _load(path)
    config, params = _model(path)
    chunks = np.split(_latents(tensors["in/latents"]), meta["n_chunks"], axis=1)
    number, state = int(name.rpartition("_")[2]), None
    for latents in chunks[: number + 1]:
        frames, state = decode(config, params, latents, state)
        if latents is chunks[0] and "out/cache_first_conv_after_0" in tensors:
            close(state[0], _cache(tensors["out/cache_first_conv_after_0"]))
    close(frames, _video(tensors[name]))
    if number + 1 == len(chunks):
        for key, cache in tensors.items():
            if found := re.fullmatch(r"out/cache_(\d+)_final", key):
                close(state[int(found[1])], _cache(cache))


def test_decode_from_caches_of_zeros(zero_cache):
    """Four frames a latent, the first one too: a stream that goes on from nothing, as Self-Forcing's demo has it."""
    path, name = zero_cache
    _, tensors, close = _load(path)
    config, params = _model(path)
    expected = _video(tensors[name])
    described = wan_vae.decoder_state(config, *expected.shape[2:4], worlds=len(expected))
    zeros = jax.tree.map(lambda a: np.zeros(a.shape, a.dtype), described)
    close(decode(config, params, _latents(tensors["in/latent"]), zeros)[0], expected)


def test_encode(encoded):
    path, name = encoded
    _, tensors, close = _load(path)
    config, params = _model(path)
    video, expected = _video(tensors["in/video"]), _latents(tensors[name])
    close(encode(config, params, video), expected)
    if "out/encode_first_frame_only" in tensors:
        close(encode(config, params, video[:, :1]), _latents(tensors["out/encode_first_frame_only"]))


def test_encode_an_image_and_nothing_more(still):
    path, name = still
    _, tensors, close = _load(path)
    config, params = _model(path)
    expected = _latents(tensors[name])
    image = _video(tensors["in/image"])[:, 0]
    close(encode_image(config, params, image, expected.shape[1]), expected)


def _cache(a):
    return np.moveaxis(a, 1, -1)


def _compare_caches(meta, tensors, close, prefix, caches):
    """Compare every recorded cache; ours have zeros where the released ones have no frames yet."""
    recorded = {int(key.rpartition("/")[2]): _cache(t) for key, t in tensors.items() if key.startswith(prefix)}
    unused = {int(key.rpartition("/")[2]): note for key, note in meta["cache_notes"].items() if prefix[4:] in key}
    assert len(caches) == len(recorded) + list(unused.values()).count("Rep")
    for slot, cache in enumerate(caches):
        expected = recorded.get(slot)
        if expected is None:
            assert unused[slot] == "Rep" and not cache.any()
        else:
            frames = expected.shape[1]
            close(cache[:, -frames:], expected, err_msg=f"{prefix}{slot}")
            assert not cache[:, :-frames].any()


def test_decoder_caches(decoder_cache):
    path, name = decoder_cache
    meta, tensors, close = _load(path)
    config, params = _model(path)
    prefix = name.rpartition("/")[0] + "/"
    count = int(re.search(r"latent(\d+)", name)[1]) + 1
    _, state = _decode_chunks(config, params, _latents(tensors["in/latent"])[:, :count], 1)
    _compare_caches(meta, tensors, close, prefix, state)
    if "out/decode_after_conv2" in tensors:
        mean, std = np.array(wan_vae.LATENT_MEAN), np.array(wan_vae.LATENT_STD)
        z = (_latents(tensors["in/latent"]) * std + mean).astype(np.float32)
        moved = jax.jit(bind(Decoder, config, params["decoder"]).latents_in)(z)
        close(moved, _latents(tensors["out/decode_after_conv2"]))


def test_encoder_caches_and_features(encoder_cache):
    path, name = encoder_cache
    meta, tensors, close = _load(path)
    config, params = _model(path)
    features = jax.jit(lambda *piece: run_piece(bind(Encoder, config, params["encoder"]).features, *piece))
    video, caches = _video(tensors["in/video"]), None
    last = int(re.search(r"group(\d+)", name)[1])
    for group in range(last + 1):
        start = max(0, 4 * group - 3)
        x, caches = features(video[:, start : 4 * group + 1], caches)
        close(x, np.moveaxis(tensors[f"out/encoder_group{group}"], 1, -1))
    _compare_caches(meta, tensors, close, name.rpartition("/")[0] + "/", jax.tree.map(np.asarray, caches))
