"""A transformer over eight devices and over two processes: the same worlds, and nothing travels that need not."""

import contextlib
import math
import random
import re
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from ports.lingbot_world.config import LingBotConfig
from ports.lingbot_world.model import LingBotDiT
from ports.wan.autoencoders import wan_vae
from ports.wan.nn.parameters import abstract_params
from ports.wan.sharding import param_shardings
from tests.wan.split_world import BACKBONE, WORLDS, draw_params, inputs, make_mesh, memory, place, roll
from worldkv_jax.rollout import chunk_step

MESHES = {
    "worlds and heads": (2, 4),
    "heads": (1, 8),
    "worlds": (2, 1),
    "heads and tokens": (1, 2, 4),
    "worlds and tokens": (2, 1, 4),
}
ONE_BY_ONE = ("heads", "worlds")
"""Meshes that split one thing; the others run behind the quick tests."""
COLLECTIVES = "all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter"


@pytest.fixture(scope="module")
def alone():
    """The rollout on one device."""
    return roll(*place(memory(), None))[:2]


def check_same(made, alone):
    latents, picked = made
    np.testing.assert_array_equal(picked, alone[1])
    assert (picked[-1] >= 0).all() and (picked[-1, 0] != picked[-1, 1]).any(), "worlds look back at other chunks"
    np.testing.assert_allclose(latents, alone[0], atol=5e-5)


def collectives(text: str) -> list[tuple[str, str, int]]:
    """Kind, place in the program and numbers moved of each collective of a compiled program."""
    found = []
    for line in text.splitlines():
        match = re.match(rf"\s+(?:ROOT )?%\S+ = (.*?) ({COLLECTIVES})(?:-start)?\(", line)
        if match:
            shapes = re.findall(r"\w+\[([\d,]*)\]", match[1])
            numbers = sum(math.prod(int(n) for n in shape.split(",") if n) for shape in shapes)
            found.append((match[2], re.search(r'op_name="([^"]*)"', line)[1], numbers))
    return found


def compiled_step(mesh, *, fsdp=False):
    params, world = place(memory(), mesh, fsdp=fsdp)
    chunk, noise = inputs()[0]
    with jax.set_mesh(mesh):
        return chunk_step._step.lower(params, world, chunk, noise, None, backbone=BACKBONE).compile()


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in ONE_BY_ONE else pytest.mark.long) for name in MESHES]
)
def test_the_same_worlds_on_many_devices(name, alone):
    mesh, programs = make_mesh(*MESHES[name]), chunk_step._step._cache_size()
    with jax.set_mesh(mesh):
        *made, world = roll(*place(memory(), mesh))
    check_same(made, alone)
    assert chunk_step._step._cache_size() - programs <= 2, "the first chunk's program and that of all others"
    for leaf in jax.tree.leaves((world.memory.window, world.memory.bank.slots)):
        _, _, worlds, _, heads, _ = (1, *leaf.sharding.shard_shape(leaf.shape))[-6:]
        split_over = mesh.shape["model"] * mesh.shape.get("sequence", 1)
        assert (worlds * mesh.shape["data"], heads * split_over) == (WORLDS, BACKBONE.spec.heads)


@pytest.mark.long
def test_without_the_mesh_as_context_it_is_still_the_same_world(alone):
    check_same(roll(*place(memory(), make_mesh(1, 8)))[:2], alone)


def test_spread_weights_make_the_same_worlds(alone):
    mesh = make_mesh(2, 4)
    with jax.set_mesh(mesh):
        check_same(roll(*place(memory(), mesh, fsdp=True))[:2], alone)


@pytest.mark.long
@pytest.mark.parametrize(("tier", "storage"), [("device", "int8"), ("pinned_host", "model")])
def test_the_same_worlds_with_other_banks(tier, storage):
    config, mesh = memory(tier=tier, storage=storage), make_mesh(2, 4)
    want = roll(*place(config, None))
    with jax.set_mesh(mesh):
        got = roll(*place(config, mesh))
    np.testing.assert_array_equal(got[1], want[1])
    np.testing.assert_allclose(got[0], want[0], atol=5e-3 if storage != "model" else 5e-5)  # a rounding may flip


def test_a_pass_only_sums_what_each_block_adds_and_the_norms_of_its_queries_and_keys():
    found = collectives(compiled_step(make_mesh(2, 4)).as_text())
    assert {kind for kind, _, _ in found} == {"all-reduce"}, "keys, values or activations were moved"
    tokens = BACKBONE.spec.chunk_tokens  # of the one world that a device has
    of_a_block = [numbers for _, where, numbers in found if where.count("while/body") == 2]
    # Self-attention, cross-attention and feed-forward; statistics of q and k, and of the cross-attention's q.
    assert sum(of_a_block) == 3 * tokens * BACKBONE.config.dim + 3 * tokens
    assert 4 <= len(of_a_block) <= 6


def test_a_pass_over_tokens_only_exchanges_them_for_heads_around_self_attention():
    found = collectives(compiled_step(make_mesh(2, 1, 4)).as_text())
    of_a_block = [(kind, numbers) for kind, where, numbers in found if where.count("while/body") == 2]
    assert {kind for kind, _ in of_a_block} == {"all-to-all"}, "weights, keys, values or activations were moved"
    # Queries, keys, values and what was attended: a quarter of one world's tokens on each device.
    assert sum(numbers for _, numbers in of_a_block) == 4 * BACKBONE.spec.chunk_tokens * BACKBONE.config.dim // 4


def test_spread_weights_are_gathered_layer_by_layer():
    whole, spread = (compiled_step(make_mesh(2, 4), fsdp=fsdp) for fsdp in (False, True))
    gathered = [numbers for kind, _, numbers in collectives(spread.as_text()) if kind == "all-gather"]
    config = BACKBONE.config
    assert set(gathered) == {config.dim * config.dim // 4, config.dim * config.ffn_dim // 4}
    moved = [one for one in collectives(spread.as_text()) if one[0] != "all-gather"]
    assert {kind for kind, _, _ in moved} == {"all-reduce"}
    spared = 4 * sum(leaf.size for path, leaf in jax.tree.leaves_with_path(draw_params()) if _is_split(path)) // 8
    arguments = (plan.memory_analysis().argument_size_in_bytes for plan in (whole, spread))
    assert next(arguments) - next(arguments) == spared


def _is_split(path) -> bool:
    path = jax.tree_util.keystr(path, simple=True, separator="/")
    return "blocks/" in path and path.endswith("kernel")


def test_each_device_holds_its_part_of_the_large_model():
    params = {"dit": abstract_params(LingBotDiT, LingBotConfig()), "vae": wan_vae.abstract_params(wan_vae.VAEConfig())}
    mesh = jax.sharding.AbstractMesh((2, 4), ("data", "model"), axis_types=(AxisType.Auto,) * 2)
    total = sum(leaf.size for leaf in jax.tree.leaves(params["dit"]))

    def held(part, **options):
        shardings = param_shardings(params, mesh, **options)
        sizes = jax.tree.map(lambda leaf, s: math.prod(s.shard_shape(leaf.shape)), params, shardings)
        return sum(jax.tree.leaves(sizes[part]))

    assert held("dit") < 1.05 * total / 4
    assert held("dit", fsdp=True) < 1.1 * total / 8
    assert held("vae", fsdp=True) == sum(leaf.size for leaf in jax.tree.leaves(params["vae"]))


def test_what_cannot_be_split_is_refused():
    tiny = abstract_params(LingBotDiT, BACKBONE.config)
    with pytest.raises(ValueError, match="does not split evenly over the 3 devices of 'model'"):
        param_shardings(tiny, make_mesh(1, 3))
    with pytest.raises(ValueError, match="nothing to split"):
        param_shardings(wan_vae.abstract_params(wan_vae.VAEConfig()), make_mesh(2, 4))
    with pytest.raises(ValueError, match="expected 'model'"):
        param_shardings(tiny, jax.make_mesh((8,), ("heads",), axis_types=(AxisType.Auto,)))
    with pytest.raises(ValueError, match="Auto"):
        param_shardings(tiny, jax.make_mesh((8,), ("model",), axis_types=(AxisType.Explicit,)))
    with pytest.raises(ValueError, match="fsdp spreads weights over axis 'data'"):
        param_shardings(tiny, jax.make_mesh((8,), ("model",), axis_types=(AxisType.Auto,)), fsdp=True)
    alone = param_shardings(tiny, jax.make_mesh((2,), ("data",), axis_types=(AxisType.Auto,)))
    assert all(one.spec == P() for one in jax.tree.leaves(alone))


def free_port() -> int:
    """Return a free port of those that the system gives nobody by itself: it is still free when it is taken."""
    for port in random.sample(range(20_000, 30_000), 100):
        with socket.socket() as free, contextlib.suppress(OSError):
            free.bind(("localhost", port))
            return port
    raise OSError("no port is free")


@pytest.mark.long
def test_two_processes_make_the_same_worlds(alone, tmp_path):
    address = f"localhost:{free_port()}"
    command = [sys.executable, "-m", "tests.wan.split_world", address]
    root = Path(__file__).parents[2]
    processes = [
        subprocess.Popen([*command, str(i), str(tmp_path)], cwd=root, stderr=subprocess.PIPE, text=True) for i in (0, 1)
    ]
    errors = [process.communicate(timeout=900)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(errors)
    for i in (0, 1):
        with np.load(tmp_path / f"{i}.npz") as made:
            check_same((made["latents"], made["picked"]), alone)
