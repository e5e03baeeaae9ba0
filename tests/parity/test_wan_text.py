"""Prompt cleaning, token ids and the UMT5 encoder against the released code."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from ports.wan.encoders import umt5
from ports.wan.encoders.text import Tokenizer, clean
from ports.wan.nn.parameters import bind
from tests.parity.goldens import find_cases, load_case
from tests.wan.released import convert

SHIPPED_TOKENIZER = Path(__file__).parents[1] / "goldens" / "wan_parts" / "tiny_tokenizer"


def pytest_generate_tests(metafunc):
    folder = metafunc.config.getoption("--goldens")
    for fixture, prefix in {"encoder_case": "t5_encoder", "text_case": "tokens_and_cleaning"}.items():
        if fixture in metafunc.fixturenames:
            paths = find_cases(folder, prefix)
            metafunc.parametrize(fixture, paths, ids=[f"{path.parent.name}-{path.stem}" for path in paths])


@pytest.fixture
def encoder(encoder_case):
    """Configuration, parameters, the case's inputs and outputs by name, and how to compare with them."""
    meta, tensors = load_case(encoder_case)
    groups = {"params": {}, "in": {}, "out": {}}
    for name, tensor in tensors.items():
        group, _, rest = name.partition("/")
        groups[group][rest] = tensor
    config, params = convert(umt5.COMPONENT, groups["params"], {})
    assert config.heads == meta["config"]["num_heads"] and config.layers == meta["config"]["num_layers"]
    tolerance = {name: meta["suggested_tolerance"][name] for name in ("atol", "rtol")}
    inputs = {name: jnp.asarray(tensor, jnp.int32) for name, tensor in groups["in"].items()}

    def agree(got, name):
        np.testing.assert_allclose(got, groups["out"][name], **tolerance)

    return config, params, inputs, groups["out"], agree, meta


def test_hidden_states(encoder):
    config, params, inputs, _, agree, _ = encoder
    agree(bind(umt5.UMT5Encoder, config, params)(inputs["ids"], inputs["mask"]), "hidden")
    agree(umt5.encode(config, params, inputs["ids"], inputs["mask"]), "hidden_zero_padded")
    agree(umt5.encode(config, params, inputs["ids"], jnp.ones_like(inputs["mask"])), "hidden_no_mask")


def test_parts_of_the_first_block(encoder):
    config, params, inputs, _, agree, _ = encoder
    model = bind(umt5.UMT5Encoder, config, params)
    structure, weights = nnx.split(model.blocks)
    block = nnx.merge(structure, jax.tree.map(lambda w: w[0], weights))
    position = jnp.arange(inputs["ids"].shape[1], dtype=jnp.int32)
    buckets = umt5.distance_buckets(config, position[None, :] - position[:, None])
    x = model.token_embedding[...][inputs["ids"]]
    agree(x, "embedding")
    agree(block.norm1(x), "block0.norm1")
    agree(block.attn.relative_bias[...][buckets].transpose(2, 0, 1)[None], "block0.pos_bias")
    agree(block(x, buckets, inputs["mask"] != 0, x.dtype), "block0")


def test_distance_buckets(encoder):
    config, _, inputs, outputs, _, _ = encoder
    got = umt5.distance_buckets(config, inputs["relative_positions"])
    np.testing.assert_array_equal(got, outputs["buckets_bidirectional"])


def test_bfloat16_is_as_near_as_upstream(encoder):
    """Two ways of rounding differ by no more than each differs from float32."""
    config, params, inputs, outputs, _, meta = encoder
    params = jax.tree.map(lambda p: p.astype(jnp.bfloat16), params)
    got = bind(umt5.UMT5Encoder, config, params)(inputs["ids"], inputs["mask"]).astype(jnp.float32)
    allowed = 2 * meta["measured"]["bf16_minus_f32_max"]
    np.testing.assert_allclose(got, outputs["hidden_bf16"].astype(np.float32), rtol=0, atol=allowed)
    np.testing.assert_allclose(got, outputs["hidden"], rtol=0, atol=allowed)


def test_cleaning(text_case):
    pytest.importorskip("ftfy")
    for case in json.loads(text_case.read_text())["cleaning"]:
        assert clean(case["in"]) == case["clean_whitespace"]


def test_token_ids(text_case):
    pytest.importorskip("tokenizers")
    pytest.importorskip("ftfy")
    meta = json.loads(text_case.read_text())
    beside = text_case.parent / "tiny_tokenizer"
    tokenizer = Tokenizer.load(beside if beside.exists() else SHIPPED_TOKENIZER, length=meta["max_length"])
    for case in meta["cases"]:
        assert clean(case["text"]) == case["cleaned"]
        tokens = tokenizer(case["text"])
        assert tokens.ids.tolist() == [case["ids"]]
        assert tokens.mask.tolist() == [case["mask"]]
