"""Layers that wait in host memory: the same bits, whichever wait; planned, refused, kept."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, SingleDeviceSharding

from ports.inspatio_world.config import TINY
from ports.wan.nn.block import Conditions
from ports.wan.nn.dit import WanDiT
from ports.wan.nn.parameters import abstract_params, bind
from ports.wan.nn.quantized import quantize_blocks
from ports.wan.nn.stack import keys_and_values
from tests.wan.drawn import draw
from worldkv_jax import open_model
from worldkv_jax.rollout.offloading import Offloaded, is_offloaded, scan_layers, wait
from worldkv_jax.sessions.identity import fingerprint
from worldkv_jax.sessions.plan import placements

MODELS = {
    "lingbot-world-fast": {"frames": 9, "resolution": (32, 48)},
    "inspatio-world": {"scene": "builtin", "size": (32, 48), "freeze_repeat": 40, "frames": 9},
    "matrix-game-2": {"size": (32, 48), "chunks": 1, "actions": "W1"},
}


def offloaded(stack, groups):
    return wait(np.asarray(stack), groups, SingleDeviceSharding(jax.devices()[0]))


def test_a_scan_sees_every_layer_once_and_in_order():
    weights = {"a": jnp.arange(12.0).reshape(12, 1), "b": jnp.arange(12)}

    def step(total, layer, number):
        return total * 0.5 + layer["a"].sum(), (layer["b"] - number, layer["a"])

    run = jax.jit(lambda w, layers: scan_layers(step, jnp.float32(0), w, layers), static_argnums=1)
    for groups, layers in ((1, range(12)), (3, range(12)), (12, range(12)), (4, range(3, 9)), (6, range(4, 12))):
        total, (apart, _) = run(weights, layers)
        got_total, (got_apart, got_rows) = run(jax.tree.map(lambda a, n=groups: offloaded(a, n), weights), layers)
        np.testing.assert_array_equal(got_rows, weights["a"][layers.start : layers.stop])
        assert not apart.any() and not got_apart.any()
        assert got_total == total
    with pytest.raises(ValueError, match=r"range\(0, 4\) is no whole number of groups of 3 layers"):
        run(jax.tree.map(lambda a: offloaded(a, 4), weights), range(4))


def test_where_the_weights_lie():
    stack = offloaded(jnp.arange(24).reshape(6, 4), 2)
    assert (stack.shape, stack.waiting.sharding.memory_kind) == ((6, 4), "pinned_host")
    np.testing.assert_array_equal(stack.resident[:, 0], [0, 4, 12, 16])
    np.testing.assert_array_equal(stack.waiting[:, 0], [8, 20])


@pytest.mark.long
@pytest.mark.parametrize("kind", [None, "int8"])
def test_the_same_bits_whichever_layers_wait(kind):
    """Operation by operation: compiled as a whole, XLA fuses a layer that was fetched otherwise than one in a stack."""
    config = dataclasses.replace(TINY, layers=4)
    params = quantize_blocks(draw(abstract_params(WanDiT, config), 0), kind)
    rng = np.random.default_rng(1)
    cells, features = (
        rng.normal(size=shape).astype(np.float32) for shape in ((1, 1, 2, 2, 36), (1, 3, config.text_dim))
    )

    def run(groups):
        blocks = params["blocks"]
        blocks = jax.tree.map(lambda a: offloaded(a, groups), blocks) if groups else blocks
        with jax.disable_jit():
            model = bind(WanDiT, config, {**params, "blocks": blocks})
            conditions = Conditions(cross=model.project_context(features))
            return model(
                cells, jnp.ones((1, 1)), config.rope.grid(jnp.arange(1), 1, 1), conditions, collect=keys_and_values
            )

    want = run(0)
    for groups in (2, 4):
        jax.tree.map(np.testing.assert_array_equal, run(groups), want)


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "offload"),
    [
        ("lingbot-world-fast", 1),
        ("matrix-game-2", 3),
        pytest.param("inspatio-world", 1, marks=pytest.mark.slow),
    ],
)
def test_the_same_world_whichever_layers_wait(name, offload):
    made, prints = [], []
    for waiting in (0, offload):
        session = open_model(name, **MODELS[name], tiny=True, offload=waiting).check(decode=False).load()
        found = jax.tree.leaves(session.params, is_leaf=is_offloaded)
        assert any(map(is_offloaded, found)) == (waiting > 0)
        made.append([chunk.latents for chunk in session.stream(session.start(), seed=0)])
        prints.append(fingerprint(session.params))
    np.testing.assert_allclose(*made, atol=2e-6)
    assert prints[0] == prints[1], "a world could not be continued with other layers waiting"


@pytest.mark.long
def test_layers_wait_split_over_devices_too():
    mesh = jax.make_mesh((2,), ("model",), axis_types=(AxisType.Auto,), devices=jax.devices()[:2])
    made = []
    for waiting, where in ((0, None), (1, mesh)):
        session = open_model("lingbot-world-fast", **MODELS["lingbot-world-fast"], tiny=True, offload=waiting)
        session = session.check(decode=False).load(where)
        made.append([chunk.latents for chunk in session.stream(session.start(), seed=0)])
    kernel = session.params.dit["blocks"]["ffn"]["first"]["kernel"]
    for part in (kernel.resident, kernel.waiting):
        assert part.sharding.shard_shape(part.shape)[-1] * 2 == part.shape[-1]
    assert kernel.waiting.sharding.memory_kind == "pinned_host"
    np.testing.assert_allclose(*made, atol=2e-6)


def test_the_plan_counts_what_waits_and_what_it_costs():
    def plan(offload, **options):
        session = open_model("lingbot-world-fast", random_weights=True, frames=1077, offload=offload, **options).check()
        made = placements(session.backbone, session.memory, session.cost, chunks=session.chunks)
        return made["pinned_host"], session.cost

    (plain, cost), (some, waiting), (every, _) = (plan(offload) for offload in (0, 10, 40))
    layer = (cost.weights_bytes - cost.whole_weights_bytes) // 40
    assert waiting.waiting_bytes == 10 * layer == some.host_bytes - plain.host_bytes
    buffers = some.device_bytes["weights"] + 10 * layer - plain.device_bytes["weights"]
    assert 0 < buffers < 2 * layer, "two layers as a pass reads them, without what only prepares a chunk"
    assert some.link_bytes - plain.link_bytes == some.fetched_bytes == 11 * (5 * buffers // 2 + layer - buffers // 2)
    assert every.total_bytes < plain.total_bytes - 30 * layer
    assert every.chunk_flops == plain.chunk_flops
    rounded = plan(10, weights="int8")[1]
    assert rounded.rounding_bytes == 0, "they are rounded in host memory, before anything lies on the card"


def test_numbers_that_cut_no_groups_are_refused():
    with pytest.raises(
        ValueError, match=r"`offload` 7: one of each group of the 40 layers waits; give one of \[1, 2, 4, 5"
    ):
        open_model("lingbot-world-fast", random_weights=True, frames=21, offload=7).check()
    with pytest.raises(
        ValueError, match=r"`offload` 1: .* give one of \[2, 6, 10, 30\]"
    ):  # actions are in half of them
        open_model("matrix-game-2", random_weights=True, chunks=2, offload=1).check()


def test_the_bits_of_weights_are_told_apart_wherever_they_lie():
    stack = np.random.default_rng(0).normal(size=(6, 5, 3)).astype(np.float32)
    same = [fingerprint({"a": jnp.asarray(stack)}), *(fingerprint({"a": offloaded(stack, n)}) for n in (1, 2, 6))]
    assert len(set(same)) == 1
    assert fingerprint({"a": offloaded(stack[::-1], 2)}) not in same
    assert isinstance(offloaded(stack, 2), Offloaded)
