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


class Case:
    """A golden case with its model, and what the model is given."""

    def __init__(self, path):
        self.meta, self.tensors = load_case(path)
        self.config, params = model_of(self.meta["config"], self.tensors)
        self.model = bind(LingBotDiT, self.config, params)
        channels_last = functools.partial(np.moveaxis, source=0, destination=-1)
        self.cells = np.concatenate([channels_last(self.tensors[f"in/{name}"]) for name in "xy"], axis=-1)[None]
        self.camera = np.moveaxis(self.tensors["in/plucker"], 1, -1)
        text = self.tensors["in/context"]
        self.text = np.pad(text, ((0, self.config.text_rows - len(text)), (0, 0)))[None]
        self.t = np.full((1, 1), self.tensors["in/t"][0], np.float32)
        rows, columns = self.meta["lat_hw"]
        first = self.meta["current_start"] // self.meta["tokens_per_frame"]
        frames = first + np.arange(self.meta["frames"], dtype=np.int32)
        self.rope = jax.jit(lambda frames: self.config.rope.grid(frames, rows // PATCH, columns // PATCH))(frames)

    @functools.cached_property
    def conditions(self) -> Conditions:
        """What is constant over the passes of the chunk."""
        prepare = jax.jit(lambda camera, text: (self.model.prepare_camera(camera), self.model.project_context(text)))
        film, cross = prepare(self.camera, self.text)
        return Conditions(film=film, cross=cross)

    def expect(self, name, got):
        """Compare a result with the golden of that name."""
        want = self.tensors[f"out/{name}"]
        got = np.asarray(got).reshape(want.shape)
        np.testing.assert_allclose(got, want, atol=ATOL * max(1.0, np.abs(want).max()))


@pytest.fixture(scope="module")
def case(path):
    """The case, made once for all its tests."""
    return Case(path)


def test_flow_and_keys(case):
    run = jax.jit(functools.partial(case.model, collect=keys_and_values))
    flow, own = run(case.cells, case.t, case.rope, case.conditions)
    case.expect("flow", np.moveaxis(np.asarray(flow)[0], -1, 0))
    case.expect("cache_k_layer0", np.asarray(own.keys)[0])
    case.expect("cache_v_layer0", np.asarray(own.values)[0])


def test_embeddings(case):
    model = case.model

    @jax.jit
    def embed(cells, t, text):
        tokens = model.patch_embedding(patchify(cells))
        return *model.time_embedding(t), model.context_embedding(text), jnp.swapaxes(tokens, 1, 2)

    names = ("mid_time_embedding", "mid_time_projection", "mid_text_embedding", "mid_patch_embedding")
    for name, made in zip(names, embed(case.cells, case.t, case.text), strict=True):
        case.expect(name, made)
    for name, made in zip("kv", case.conditions.cross, strict=True):
        case.expect(f"cross_{name}_layer0", np.asarray(made)[0])


def test_blocks_and_head(case):
    model, layers = case.model, range(case.config.layers)

    @jax.jit
    def run(cells, t, rope, conditions):
        embedding, time_rows = model.time_embedding(t)
        x, after = model.patch_embedding(patchify(cells)), []
        for layer in layers:
            one = jax.tree.map(lambda a: a[layer : layer + 1], conditions)  # noqa: B023
            x, _, _ = run_blocks(model.blocks, x, time_rows, rope, one, layers=range(layer, layer + 1))
            after.append(x)
        return after, model.head(x, embedding)

    after, head = run(case.cells, case.t, case.rope, case.conditions)
    for layer, x in enumerate(after):
        case.expect(f"mid_block{layer}", x)
    case.expect("mid_head", head)


def test_attention_parts_of_the_first_block(case):
    """What self-attention and cross-attention return, before gate and camera."""
    model = case.model
    structure, weights = nnx.split(model.blocks)

    @jax.jit
    def run(cells, t, rope, conditions):
        weights_of_first, first = jax.tree.map(lambda a: a[0], (weights, conditions))
        block = nnx.merge(structure, weights_of_first)
        x = model.patch_embedding(patchify(cells))
        rows = block.modulation[...][None, None] + model.time_embedding(t)[1]
        shift, scale, gain = (rows[:, :, i] for i in range(3))
        attended, *_ = block.self_attn(modulate(layer_norm(x), shift, scale), rope, Past())
        camera_scale, camera_shift = first.film
        x = (1 + camera_scale) * (x + gate(attended, gain)) + camera_shift
        return attended, block.cross_attn(block.norm3(x), *first.cross)

    self_attention, cross_attention = run(case.cells, case.t, case.rope, case.conditions)
    case.expect("mid_block0_self_attn", self_attention)
    case.expect("mid_block0_cross_attn", cross_attention)
