"""Single operators of the Wan 2.1 VAE against the released code."""

import functools

import jax
import ml_dtypes
import numpy as np
import pytest
from flax import nnx

from checkpoints.key_tables import expected_tensors
from ports.wan.autoencoders import layers, wan_vae
from ports.wan.autoencoders.streaming import Past, run_piece
from ports.wan.autoencoders.wan_vae import blocks, checkpoint
from tests.parity.goldens import find_cases, load_case
from tests.wan.released import paths

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


def pytest_generate_tests(metafunc):
    cases = find_cases(metafunc.config.getoption("--goldens"), "vae_ops")
    metafunc.parametrize("path", cases, ids=[path.parent.name for path in cases])


@pytest.fixture
def case(path):
    meta, tensors = load_case(path)
    close = functools.partial(np.testing.assert_allclose, **meta["suggested_tolerance"])
    # Everything recorded has its channels on the second axis.
    arrays = {
        key: np.moveaxis(t, 1, -1) if t.ndim > 1 and not key.startswith("params/") else t for key, t in tensors.items()
    }
    return meta, arrays, close


def _fill(make, rows, tensors):
    """Make a module, which the rows call ``op``, with its recorded parameters; draw none."""
    graph, state = nnx.split(nnx.eval_shape(lambda: make(rngs=nnx.Rngs(0))))
    params = {"op": nnx.to_pure_dict(state)}
    leaves = paths(params)
    targets = expected_tensors(rows, {path: leaf.shape for path, leaf in leaves.items()})
    filled = {t.path: jax.device_put(t.transform.apply(tensors[f"params/{key}"])) for key, t in targets.items()}
    params = jax.tree.unflatten(jax.tree.structure(params), [filled[path] for path in leaves])
    return nnx.merge(graph, params["op"])


def _stream(network, x, sizes):
    """Pass frames in pieces of these sizes; return the outputs and the caches after each."""
    outputs, after, caches = [], [], None
    step = jax.jit(functools.partial(run_piece, network))
    for piece in np.split(x, np.cumsum(sizes)[:-1], axis=1):
        y, caches = step(piece, caches)
        outputs.append(y)
        after.append(caches)
    return np.concatenate(outputs, axis=1), after


def test_causal_convolution(case):
    _, tensors, close = case
    x, cache = (tensors[f"in/causal_conv.{name}"] for name in ("x", "cache2"))
    rows = checkpoint.layer("causal_conv", "op", checkpoint.TIME_CONV)
    conv = functools.partial(layers.CausalConv, x.shape[-1], tensors["out/causal_conv.cache2"].shape[-1])
    network = _fill(conv, rows, tensors)
    step = jax.jit(lambda x, caches: network(x, Past(caches)))
    one = np.concatenate([0 * cache[:, :1], cache[:, 1:]], axis=1)  # no frame and a frame of zeros are the same
    for name, caches in {"no_cache": None, "cache1": (one,), "cache2": (cache,)}.items():
        close(step(x, caches), tensors[f"out/causal_conv.{name}"])


@pytest.mark.parametrize(
    ("name", "transform"), [("rms4d", checkpoint.GAMMA_2D), ("rms5d", checkpoint.GAMMA_3D)], ids=["rms4d", "rms5d"]
)
def test_norm(case, name, transform):
    _, tensors, close = case
    x = tensors[f"in/{name}.x"]
    norm = _fill(lambda rngs: layers.ChannelNorm(x.shape[-1]), [checkpoint.gamma(name, "op", transform)], tensors)
    close(jax.jit(norm)(x), tensors[f"out/{name}"])


def test_attention(case):
    _, tensors, close = case
    x = tensors["in/attn.x"]
    make = functools.partial(blocks.AttentionBlock, x.shape[-1])
    attention = _fill(make, checkpoint.attention("attn", "op"), tensors)
    close(jax.jit(attention)(x), tensors["out/attn"])


@pytest.mark.parametrize("name", ["res_same", "res_wide"])
@pytest.mark.parametrize("grouping", ["whole", "one by one", "one and the rest"])
def test_residual_block(case, name, grouping):
    _, tensors, close = case
    x, expected = tensors[f"in/{name}.x"], tensors[f"out/{name}.whole"]
    frames = x.shape[1]
    sizes = {"whole": [frames], "one by one": frames * [1], "one and the rest": [1, frames - 1]}[grouping]
    block = functools.partial(blocks.ResidualBlock, x.shape[-1], expected.shape[-1])
    block = _fill(block, checkpoint.residual(name, "op", checkpoint.PARTS), tensors)
    close(_stream(block, x, sizes)[0], expected)


@pytest.mark.parametrize("name", ["downsample2d", "downsample3d"])
def test_downsample(case, name):
    _, tensors, close = case
    x = tensors[f"in/{name}.x"]
    down = functools.partial(blocks.Downsample, x.shape[-1], temporal=name == "downsample3d")
    sizes = [1, *(x.shape[1] // 4) * [4]]
    y, after = _stream(_fill(down, checkpoint.resample(name, "op"), tensors), x, sizes)
    close(y, tensors[f"out/{name}"])
    _compare_caches(name, after, tensors, close)


@pytest.mark.parametrize(
    ("name", "recorded", "size"),
    [("upsample2d", "", 1), ("upsample3d", "", 1), ("upsample3d", ".inspatio", 1), ("upsample3d", ".two_per_call", 2)],
)
def test_upsample(case, name, recorded, size):
    _, tensors, close = case
    x = tensors[f"in/{name}.x{'_two_per_call' if size == 2 else ''}"]
    sizes = [1, *(x.shape[1] // size - (size == 1)) * [size]]
    newest_twice = recorded == ".inspatio"
    up = functools.partial(
        blocks.Upsample, x.shape[-1], temporal=name == "upsample3d", remember_newest_twice=newest_twice
    )
    y, after = _stream(_fill(up, checkpoint.resample(name, "op"), tensors), x, sizes)
    close(y, tensors[f"out/{name}{recorded}"])
    if not recorded:
        _compare_caches(name, after, tensors, close)


def _compare_caches(name, after, tensors, close):
    for number, caches in enumerate(after):
        expected = tensors.get(f"out/{name}.cache_after_call{number}")
        if expected is not None:
            close(caches[0], expected)


def test_statistics_as_the_ports_round_them(case):
    """Ours stay in float32; the released code rounds them to what it computes in."""
    _, tensors, _ = case
    roundings = {"fp16": [np.float16], "bf16": [BFLOAT16], "mg2_encoder": [np.float16, BFLOAT16]}
    for name, dtypes in roundings.items():
        mean, std = np.array(wan_vae.LATENT_MEAN, np.float32), np.array(wan_vae.LATENT_STD, np.float32)
        for dtype in dtypes:
            mean, std = mean.astype(dtype), std.astype(dtype)
        for key, value in {"mean": mean, "inv_std": (1 / std.astype(np.float32)).astype(std.dtype)}.items():
            recorded = np.asarray(tensors[f"out/scale.{key}_{name}"])
            np.testing.assert_array_equal(
                recorded.astype(np.float32), value.astype(np.float32), err_msg=f"{key} {name}"
            )
