"""Streams through the VAE's decoder: any grouping, fixed state, two programs, both rules."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from ports.wan.autoencoders import wan_vae
from ports.wan.autoencoders.layers import CausalConv, TimeConv
from ports.wan.autoencoders.streaming import Past
from ports.wan.nn.layers import along_last
from tests.wan.drawn import draw

SMALL = wan_vae.VAEConfig(dim=4, dim_mult=(1, 2, 2), num_res_blocks=1, temporal_downsample=(True, True))
INSPATIO = dataclasses.replace(SMALL, decoder_rule="inspatio")
HALF = dataclasses.replace(SMALL, compute_dtype="bfloat16")

traced = []


@functools.partial(jax.jit, static_argnums=0, static_argnames="raw")
def decode(config, params, latents, state=None, *, raw=False):
    traced.append(state)
    return wan_vae.decode(config, params, latents, state, raw=raw)


@pytest.fixture(scope="module")
def params():
    return {"decoder": draw(wan_vae.abstract_params(SMALL)["decoder"], 0)}


@pytest.fixture(scope="module")
def latents():
    return np.random.default_rng(1).standard_normal((2, 7, 2, 3, 16), np.float32)


def stream(config, params, latents, sizes):
    """Decode in chunks of these sizes; return the frames and the state after each."""
    frames, state = [], None
    for chunk in np.split(latents, np.cumsum(sizes)[:-1], axis=1):
        made, state = decode(config, params, chunk, state)
        frames.append(made)
    return frames, state


@pytest.fixture(scope="module")
def whole(params, latents):
    return jax.tree.map(np.asarray, decode(SMALL, params, latents))


@pytest.mark.parametrize("sizes", [(1, 6), (3, 3, 1), (1, 3, 3)])
def test_chunks_equal_the_whole(params, latents, whole, sizes):
    frames, state = stream(SMALL, params, latents, sizes)
    assert [made.shape[1] for made in frames] == [4 * size - 3 * (i == 0) for i, size in enumerate(sizes)]
    np.testing.assert_allclose(np.concatenate(frames, axis=1), whole[0], atol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), state, whole[1])


def test_inspatio_differs_from_the_tenth_frame_on(params, latents, whole):
    frames, _ = stream(INSPATIO, params, latents[:, :6], (3, 3))
    distance = np.abs(np.concatenate(frames, axis=1) - whole[0][:, :21]).max(axis=(0, 2, 3, 4))
    assert (distance[:9] < 1e-5).all() and (distance[9:] > 1e-2).all()


def test_a_batch_equals_its_worlds_one_by_one(params, latents, whole):
    for world in range(2):
        alone, _ = decode(SMALL, params, latents[world : world + 1, :3])
        np.testing.assert_allclose(alone, whole[0][world : world + 1, :9], atol=1e-5)


def test_frames_are_clamped_unless_asked(params, latents):
    head = jax.tree.map(lambda a: 9 * np.asarray(a), params["decoder"]["head"])
    loud = {"decoder": {**params["decoder"], "head": head}}
    raw, _ = decode(SMALL, loud, latents[:, :1], raw=True)
    assert np.abs(raw).max() > 1
    frames, _ = decode(SMALL, loud, latents[:, :1])
    np.testing.assert_array_equal(frames, np.clip(raw, -1, 1))
    assert frames.dtype == jnp.float32


def test_a_stream_takes_two_programs(params, latents):
    _, state = stream(SMALL, params, latents[:, :6], (3, 3))
    before = len(traced)
    for _ in range(2):
        _, state = decode(SMALL, params, latents[:, :3], state)
    assert len(traced) == before


def test_the_state_is_fixed_known_ahead_and_updated_in_place(params, latents, whole):
    described = wan_vae.decoder_state(SMALL, 8, 12, worlds=2)
    assert [(a.shape, a.dtype) for a in described] == [(a.shape, a.dtype) for a in whole[1]]
    assert wan_vae.decoder_state_bytes(SMALL, 8, 12, worlds=2) == sum(a.nbytes for a in whole[1])
    step = jax.jit(wan_vae.decode, static_argnums=0, donate_argnums=3)
    plan = step.lower(SMALL, params, latents[:, :3], described).compile().memory_analysis()
    assert plan.alias_size_in_bytes == sum(a.nbytes for a in whole[1])


def test_the_state_of_the_released_size():
    assert wan_vae.decoder_state_bytes(wan_vae.VAEConfig(), 480, 832) == 3_777_146_880
    half = wan_vae.VAEConfig(compute_dtype="bfloat16")
    assert wan_vae.decoder_state_bytes(half, 352, 640, worlds=3) == 3 * 1_065_349_120
    assert len(wan_vae.decoder_state(half, 352, 640)) == 32


def temporaries(count):
    """Bytes of temporaries of decoding this many latents of a stream that has begun."""
    config = dataclasses.replace(SMALL, dim=16)
    params = {"decoder": wan_vae.abstract_params(config)["decoder"]}
    state = wan_vae.decoder_state(config, 32, 32)
    latents = jax.ShapeDtypeStruct((1, count, 8, 8, 16), jnp.float32)
    compiled = jax.jit(lambda *given: wan_vae.decode(config, *given)).lower(params, latents, state).compile()
    return compiled.memory_analysis().temp_size_in_bytes


def test_memory_does_not_grow_with_the_latents():
    frames = 4 * 32 * 32 * 3 * 4  # bytes that one latent makes
    assert temporaries(12) - temporaries(2) <= 2 * 10 * frames


def test_on_a_cpu_the_frames_of_a_pass_are_finished_one_by_one(params, latents, whole, monkeypatch):
    one_by_one = temporaries(2)
    monkeypatch.setattr(Past, "finish", lambda past, network, x: network(x, past))
    assert one_by_one < 0.7 * temporaries(2)
    at_once = jax.jit(lambda *given: wan_vae.decode(SMALL, *given))(params, latents)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), at_once, whole)


def test_bfloat16(params, latents, whole):
    half = jax.tree.map(lambda a: np.asarray(a).astype(jnp.bfloat16), params)
    frames, state = decode(HALF, half, latents[:, :3])
    exact = whole[0][:, :9]
    assert frames.dtype == jnp.float32 and {a.dtype for a in state} == {jnp.dtype(jnp.bfloat16)}
    assert np.sqrt(np.mean((frames - exact) ** 2)) < 0.05 * np.std(exact)


@pytest.mark.parametrize("shape", [(7, 2, 3, 16), (1, 0, 2, 3, 16), (1, 7, 16, 2, 3)])
def test_latents_of_another_shape(params, shape):
    with pytest.raises(ValueError, match=r"latents have shape .*expected \[B, F, h, w, 16\]"):
        wan_vae.decode(SMALL, params, jnp.zeros(shape))


def test_a_state_of_another_stream(params, latents, whole):
    for chunk in (latents[:1], latents[:, :, :, :2]):
        with pytest.raises(ValueError, match="go on with the state that the pass before returned"):
            wan_vae.decode(SMALL, params, chunk, whole[1])
    with pytest.raises(ValueError, match=r"holds float32 .* expected bfloat16"):
        wan_vae.decode(HALF, params, latents, whole[1])
    with pytest.raises(ValueError, match="holds nothing in place 3"):
        wan_vae.decode(SMALL, params, latents, whole[1][:3])


def test_a_world_that_latents_do_not_cover():
    with pytest.raises(ValueError, match="a world has 90x160 pixels, expected multiples of 4: crop or resize"):
        wan_vae.decoder_state(SMALL, 90, 160)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"decoder_rule": "matrix"}, "decoder_rule='matrix' is not one of wan, inspatio"),
        ({"z_dim": 4}, "z_dim=4, but .* 16 channels"),
        ({"dim_mult": (1, 2)}, "must have one entry less than"),
        ({"compute_dtype": "int32"}, "use float32 or bfloat16"),
    ],
)
def test_configurations_check_themselves(fields, message):
    with pytest.raises(ValueError, match=message):
        wan_vae.VAEConfig(**fields)


@pytest.mark.parametrize("layer, stride", [(CausalConv, 1), (TimeConv, 1), (TimeConv, 2)])
@pytest.mark.parametrize("pixels", [2, 16])
def test_convolutions_over_time_are_those_of_three_dimensions(layer, stride, pixels):
    """On a CPU in one of two ways, by what is larger: frames or kernel."""
    conv = layer(8, 6, rngs=nnx.Rngs(0), **({"stride": stride} if layer is TimeConv else {}))
    conv.bias[...] = jnp.arange(6.0)
    x = jax.random.normal(jax.random.key(1), (2, 5, pixels, pixels, 8))
    window = conv.kernel.shape[0] // 2
    want = jax.lax.conv_general_dilated(
        x,
        jnp.moveaxis(conv.kernel[...], 2, 0),
        window_strides=(stride, 1, 1),
        padding=((0, 0), (window, window), (window, window)),
        dimension_numbers=("NDHWC", "DHWIO", "NDHWC"),
    )
    np.testing.assert_allclose(conv.convolve(x), want + along_last(conv.bias[...], want), atol=1e-5)
