"""Weights in eight bits: how near they are, what they take, and that a model is loaded and split with them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ports.lingbot_world.config import TINY
from ports.lingbot_world.model import LingBotDiT
from ports.wan.nn.parameters import abstract_params, bind, init_params
from ports.wan.nn.quantized import (
    multiply,
    quantize_blocks,
    quantize_kernel,
    quantize_rows,
    quantized_shapes,
    restore,
)
from ports.wan.nn.stack import map_layers
from ports.wan.sharding import param_shardings
from tests.wan.split_world import make_mesh

# Of a product of random numbers: the error of a number in eight bits, uniform or a sixteenth of its size.
ERROR = {"int8": 0.015, "fp8": 0.05}


def relative_error(got, want) -> float:
    return float(np.linalg.norm(got - want) / np.linalg.norm(want))


@pytest.mark.parametrize("kind", ERROR)
def test_a_product_is_near_and_rows_and_outputs_have_scales_of_their_own(kind):
    keys = jax.random.split(jax.random.key(0))
    x = jax.random.normal(keys[0], (7, 96)) * jnp.array([1, 1e3, 1e-3, 1, 1, 1, 0])[:, None]
    kernel = jax.random.normal(keys[1], (96, 40)) * jnp.where(jnp.arange(40) < 20, 1.0, 1e4)[None]
    got, want = np.asarray(multiply(x, quantize_kernel(kernel, kind))), np.asarray(x @ kernel)
    for rows in range(6):
        for outputs in (slice(0, 20), slice(20, 40)):
            assert relative_error(got[rows, outputs], want[rows, outputs]) < 2 * ERROR[kind]
    np.testing.assert_array_equal(got[6], 0)


@pytest.mark.parametrize("kind", ERROR)
def test_rows_come_back_within_a_step(kind):
    x = jax.random.normal(jax.random.key(1), (3, 5, 64))
    rounded = quantize_rows(x, kind)
    assert rounded.kind == kind and rounded.values.dtype.itemsize == 1
    step = rounded.scale if kind == "int8" else jnp.maximum(jnp.abs(x) / 8, rounded.scale / 64)
    assert (jnp.abs(restore(rounded) - x) <= 0.51 * step).all()


def test_a_cpu_multiplies_the_same_numbers_as_a_chip_with_eight_bits():
    x = jax.random.normal(jax.random.key(2), (4, 32))
    kernel = quantize_kernel(jax.random.normal(jax.random.key(3), (32, 8)), "int8")
    rows = quantize_rows(x, "int8")
    exact = np.asarray(rows.values, np.int64) @ np.asarray(kernel.values, np.int64).T
    want = exact * np.asarray(rows.scale) * np.asarray(kernel.scale).T
    np.testing.assert_allclose(multiply(x, kernel), want, rtol=1e-6)


@pytest.mark.parametrize("kind", ERROR)
def test_blocks_are_quantized_in_the_place_of_what_they_were_made_of(kind):
    params = init_params(LingBotDiT, TINY, 0)
    before = jax.tree.map(np.asarray, params)
    camera = jax.random.normal(jax.random.key(0), (1, 6, TINY.dim))
    want = [np.asarray(f) for f in _film(params, camera)]
    made = quantize_blocks(params, kind)
    assert params["blocks"]["ffn"]["first"]["kernel"].is_deleted()
    assert made["blocks"]["ffn"]["first"]["kernel"].kind == kind
    assert {part["kernel"].kind for part in (made["blocks"]["camera"][name] for name in ("scale", "shift"))} == {"int8"}
    np.testing.assert_array_equal(made["head"]["linear"]["kernel"], before["head"]["linear"]["kernel"])
    shapes = quantized_shapes(abstract_params(LingBotDiT, TINY), kind)
    assert jax.tree.map(lambda a: (a.shape, a.dtype), made) == jax.tree.map(lambda a: (a.shape, a.dtype), shapes)
    got = _film(made, camera)
    for ours, theirs in zip(got, want):
        assert ours.kind == "int8" and relative_error(restore(ours), theirs) < 4 * ERROR["int8"]


def _film(params, camera):
    blocks = bind(LingBotDiT, TINY, params).blocks
    return map_layers(lambda film, embedding: film(embedding), blocks.camera, camera)


def test_no_eight_bits_leave_the_parameters_as_they_are():
    params = {"blocks": {"kernel": jnp.ones((1, 2, 2))}}
    assert quantize_blocks(params, None) is params


def test_quantized_kernels_are_split_as_they_were():
    config = dataclasses.replace(TINY, dim=64, heads=8)
    whole = abstract_params(LingBotDiT, config)
    mesh = make_mesh(2, 4)
    plain = param_shardings(whole, mesh, fsdp=True)["blocks"]
    eight = param_shardings(quantized_shapes(whole, "int8"), mesh, fsdp=True)["blocks"]

    def axes(sharding, count):
        return (*sharding.spec, *[None] * (count - len(sharding.spec)))

    for part, name in (("self_attn", "q"), ("self_attn", "o"), ("ffn", "first"), ("ffn", "second")):
        layers, d_in, d_out = axes(plain[part][name]["kernel"], 3)
        assert axes(eight[part][name]["kernel"].values, 3) == (layers, d_out, d_in)
        assert axes(eight[part][name]["kernel"].scale, 3) == (layers, d_out, None)
