"""One chunk through LingBot-World's transformer against the released PyTorch code, part by part."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from ports.lingbot_world.model import LingBotDiT
from ports.wan.nn.block import Conditions
from ports.wan.nn.layers import gate, layer_norm, modulate
from ports.wan.nn.parameters import bind
from ports.wan.nn.patches import PATCH, patchify
from ports.wan.nn.stack import keys_and_values, run_blocks
from tests.lingbot_world.golden_model import model_of
from tests.parity.goldens import find_cases, load_case
from worldkv_jax.memory import Past

ATOL = 1e-5


def pytest_generate_tests(metafunc):
    cases = find_cases(metafunc.config.getoption("--goldens"), "a_forward")
    metafunc.parametrize("path", cases, ids=[path.stem for path in cases], scope="module")


@pytest.fixture(autouse=True)
def _full_precision():
    with jax.default_matmul_precision("highest"):
        yield


class Case:
    """A golden case with its model, and what the model is given."""

    def __init__(self, path):
        self.meta, self.tensors = load_case(path)
        self.config, params = model_of(self.meta["config"], self.tensors)
        self.model = bind(LingBotDiT, self.config, params)
        channels_last = functools.partial(np.moveaxis, source=0, destination=-1)
        self.cells = jnp.asarray(
            np.concatenate([channels_last(self.tensors["in/x"]), channels_last(self.tensors["in/y"])], axis=-1)[None]
        )
        self.camera = jnp.asarray(np.moveaxis(self.tensors["in/plucker"], 1, -1))
        text = self.tensors["in/context"]
        self.text = jnp.asarray(np.pad(text, ((0, self.config.text_rows - len(text)), (0, 0)))[None])
        self.t = jnp.full((1, 1), float(self.tensors["in/t"][0]), jnp.float32)
        rows, columns = self.meta["lat_hw"]
        first = self.meta["current_start"] // self.meta["tokens_per_frame"]
        frames = first + jnp.arange(self.meta["frames"], dtype=jnp.int32)
        self.rope = self.config.rope.grid(frames, rows // PATCH, columns // PATCH)

    @functools.cached_property
    def conditions(self) -> Conditions:
        """What is constant over the passes of the chunk."""
        prepare = jax.jit(lambda camera, text: (self.model.prepare_camera(camera), self.model.project_context(text)))
        film, cross = prepare(self.camera, self.text)
        return Conditions(film=film, cross=cross)

    def expect(self, name, got):
        """Compare a result with the golden of that name."""
        want = self.tensors[f"out/{name}"]
        np.testing.assert_allclose(np.reshape(got, want.shape), want, atol=ATOL * max(1.0, np.abs(want).max()))


@pytest.fixture(scope="module")
def case(path):
    """The case, made once for all its tests."""
    return Case(path)


def test_flow_and_keys(case):
    run = jax.jit(functools.partial(case.model, collect=keys_and_values))
    flow, own = run(case.cells, case.t, case.rope, case.conditions)
    case.expect("flow", np.moveaxis(flow[0], -1, 0))
    case.expect("cache_k_layer0", own.keys[0])
    case.expect("cache_v_layer0", own.values[0])


def test_embeddings(case):
    embedding, rows = case.model.time_embedding(case.t)
    case.expect("mid_time_embedding", embedding)
    case.expect("mid_time_projection", rows)
    case.expect("mid_text_embedding", case.model.context_embedding(case.text))
    tokens = case.model.patch_embedding(patchify(case.cells))
    case.expect("mid_patch_embedding", tokens[0].T)
    key, value = case.conditions.cross
    case.expect("cross_k_layer0", key[0])
    case.expect("cross_v_layer0", value[0])


def test_blocks_and_head(case):
    model = case.model
    embedding, time_rows = model.time_embedding(case.t)
    x = model.patch_embedding(patchify(case.cells))
    for layer in range(case.config.layers):
        one = jax.tree.map(lambda a: a[layer : layer + 1], case.conditions)  # noqa: B023
        x, _, _ = run_blocks(model.blocks, x, time_rows, case.rope, one, layers=range(layer, layer + 1))
        case.expect(f"mid_block{layer}", x)
    case.expect("mid_head", model.head(x, embedding))


def test_attention_parts_of_the_first_block(case):
    """What self-attention and cross-attention return, before gate and camera."""
    structure, weights = nnx.split(case.model.blocks)
    block = nnx.merge(structure, jax.tree.map(lambda a: a[0], weights))
    first = jax.tree.map(lambda a: a[0], case.conditions)
    x = case.model.patch_embedding(patchify(case.cells))
    rows = block.modulation[...][None, None] + case.model.time_embedding(case.t)[1]
    shift, scale, gain = (rows[:, :, i] for i in range(3))
    attended, *_ = block.self_attn(modulate(layer_norm(x), shift, scale), case.rope, Past())
    case.expect("mid_block0_self_attn", attended)
    camera_scale, camera_shift = first.film
    x = (1 + camera_scale) * (x + gate(attended, gain)) + camera_shift
    case.expect("mid_block0_cross_attn", block.cross_attn(block.norm3(x), *first.cross))
