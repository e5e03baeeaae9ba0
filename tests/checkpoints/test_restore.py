"""Weights come onto devices from PyTorch files and from converted checkpoints alike."""

import dataclasses

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, SingleDeviceSharding
from safetensors.numpy import save_file

from checkpoints.convert import run_conversion
from checkpoints.manifest import read_manifest, write_manifest
from checkpoints.planning import plan_conversion
from checkpoints.restore import load_params
from tests.checkpoints.formats import CLIP, DIT, FORMAT, VAE, DiTConfig, draw, write_model


@pytest.fixture(scope="module")
def places(model_folder, tmp_path_factory):
    """The same model in both forms."""
    out = tmp_path_factory.mktemp("converted") / "out"
    run_conversion(plan_conversion(model_folder, FORMAT), out)
    return {"torch": model_folder, "converted": out}


def expected():
    """The parameters of the transformer, made by hand."""
    t = draw(DIT, DiTConfig())

    def stack(name):
        return np.stack([t[f"blocks.{i}.{name}"] for i in range(3)])

    def linear(name):
        return {"kernel": stack(f"{name}.weight").swapaxes(1, 2), "bias": stack(f"{name}.bias")}

    return {
        "patch": {
            "kernel": t["patch_embedding.weight"].transpose(0, 2, 3, 4, 1).reshape(6, -1).T,
            "bias": t["patch_embedding.bias"],
        },
        "blocks": {
            "modulation": stack("modulation")[:, 0],
            "attn": {
                **{n: linear(f"self_attn.{n}") for n in "qkvo"},
                "norm": {"weight": stack("self_attn.norm.weight")},
            },
        },
        "head": {0: {"kernel": t["head.0.weight"].T, "bias": t["head.0.bias"]}, 1: {"scale": t["head.1.scale"]}},
    }


def same(got, want):
    assert jax.tree.structure(got) == jax.tree.structure(want)
    for ours, theirs in zip(jax.tree.leaves(got), jax.tree.leaves(want)):
        assert isinstance(ours, jax.Array) and ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("form", ["torch", "converted"])
def test_parameters(places, form):
    config, params = load_params(places[form], DIT)
    assert config == DiTConfig()
    assert jax.tree.structure(params) == jax.tree.structure(DIT.abstract(config))
    same(params, expected())
    assert load_params(places[form], CLIP)[1]["head"].shape == (4, 5)
    assert load_params(places[form], VAE)[1]["conv"]["kernel"].shape == (3, 3, 3, 2, 4)


@pytest.mark.parametrize("form", ["torch", "converted"])
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32, "float16"])
def test_casting(places, form, dtype):
    _, params = load_params(places[form], DIT, dtype=dtype)
    same(params, jax.tree.map(lambda a: a.astype(dtype), expected()))


def test_one_network_of_its_own(model_folder):
    for path in (model_folder / "dit", model_folder / "dit" / "diffusion_pytorch_model.safetensors.index.json"):
        same(load_params(path, DIT)[1], expected())


@pytest.mark.parametrize("axis_type", [AxisType.Auto, AxisType.Explicit])
@pytest.mark.parametrize("form", ["torch", "converted"])
def test_straight_onto_a_mesh(places, form, axis_type):
    mesh = jax.make_mesh((2, 3), ("data", "model"), axis_types=(axis_type, axis_type), devices=jax.devices()[:6])

    def rule(leaf):
        spec = [None] * leaf.ndim
        if leaf.ndim and leaf.shape[-1] == 6:
            spec[-1] = "model"
        return NamedSharding(mesh, jax.P(*spec))

    _, params = load_params(places[form], DIT, sharding=lambda abstract: jax.tree.map(rule, abstract))
    same(params, expected())
    for leaf in jax.tree.leaves(params):
        assert leaf.sharding == rule(leaf)
    kernel = params["blocks"]["attn"]["q"]["kernel"]
    assert {shard.data.shape for shard in kernel.addressable_shards} == {(3, 6, 2)}


def test_layers_over_devices(places):
    mesh = jax.make_mesh((3,), ("layers",), axis_types=(AxisType.Auto,), devices=jax.devices()[:3])
    whole, layers = NamedSharding(mesh, jax.P()), NamedSharding(mesh, jax.P("layers"))
    # A tree of shardings may stop above the leaves.
    sharding = {"patch": whole, "blocks": layers, "head": {0: whole, 1: None}}
    _, params = load_params(places["converted"], DIT, sharding=sharding)
    same(params, expected())
    assert params["blocks"]["attn"]["q"]["kernel"].sharding == layers and params["patch"]["bias"].sharding == whole


@pytest.mark.parametrize("kind", ["device", "pinned_host", "unpinned_host"])
def test_one_device_and_its_memories(places, kind):
    sharding = SingleDeviceSharding(jax.devices()[3], memory_kind=kind)
    _, params = load_params(places["converted"], DIT, sharding=sharding)
    same(params, expected())
    assert {leaf.sharding for leaf in jax.tree.leaves(params)} == {sharding}


def test_the_default_device_counts(places):
    with jax.default_device(jax.devices()[2]):
        _, params = load_params(places["torch"], DIT)
    assert all(leaf.devices() == {jax.devices()[2]} for leaf in jax.tree.leaves(params))


def test_parameters_do_not_hang_on_the_file(tmp_path):
    save_file(draw(DIT, DiTConfig(), dtype=np.float32), tmp_path / "a.safetensors")
    _, params = load_params(tmp_path / "a.safetensors", DIT)
    before = jax.tree.map(np.array, params)
    with open(tmp_path / "a.safetensors", "r+b") as file:
        file.write(bytes((tmp_path / "a.safetensors").stat().st_size))
    jax.tree.map(np.testing.assert_array_equal, params, before)


def test_layers_of_several_dtypes(tmp_path):
    tensors = draw(DIT, DiTConfig(), dtype=np.float32)
    tensors["blocks.1.self_attn.q.weight"] = tensors["blocks.1.self_attn.q.weight"].astype(np.float16)
    for layer in range(3):
        tensors[f"blocks.{layer}.modulation"] = tensors[f"blocks.{layer}.modulation"].astype(ml_dtypes.bfloat16)
    save_file(tensors, tmp_path / "a.safetensors")
    run_conversion(plan_conversion(tmp_path / "a.safetensors", FORMAT), tmp_path / "out")
    for path in (tmp_path / "a.safetensors", tmp_path / "out"):
        _, params = load_params(path, DIT)
        blocks = params["blocks"]
        assert blocks["attn"]["q"]["kernel"].dtype == jnp.float32 and blocks["modulation"].dtype == jnp.bfloat16
        want = tensors["blocks.1.self_attn.q.weight"].astype(np.float32).T
        np.testing.assert_array_equal(blocks["attn"]["q"]["kernel"][1], want)


def test_progress_counts_weights(places):
    done = []
    config, _ = load_params(places["converted"], DIT, progress=lambda size, total: done.append((size, total)))
    total = sum(leaf.size for leaf in jax.tree.leaves(DIT.abstract(config)))
    assert sum(size for size, _ in done) == total and {total for _, total in done} == {total}


def test_what_is_not_there(places, model_folder, tmp_path):
    run_conversion(plan_conversion(model_folder, FORMAT, only=["vae"]), tmp_path / "vae")
    with pytest.raises(FileNotFoundError, match="has no dit, only vae; convert it too"):
        load_params(tmp_path / "vae", DIT)
    without = write_model(tmp_path / "model", clip=False)
    with pytest.raises(
        ValueError, match=r"has no clip of clip: no clip.pth, and its 2 tensors are others, such as conv"
    ):
        load_params(without, CLIP)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_params(tmp_path / "nowhere", DIT)


def test_a_checkpoint_of_another_version(places, tmp_path):
    wider = dataclasses.replace(DIT, from_json=lambda fields: DiTConfig(**{**fields, "dim": 8}))
    with pytest.raises(
        ValueError, match=r"another version of the model(.|\n)*head/0/kernel: has shape \(6, 8\), expected \(8, 8\)"
    ):
        load_params(places["converted"], wider)


def test_a_damaged_checkpoint(model_folder, tmp_path):
    run_conversion(plan_conversion(model_folder, FORMAT, only=["dit"]), tmp_path / "out")
    file = tmp_path / "out" / "dit" / "head.0.kernel" / "c.0.0"
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    with pytest.raises(ValueError, match=r"head.0.kernel is damaged"):
        load_params(tmp_path / "out", DIT)
    manifest = read_manifest(tmp_path / "out")
    record = manifest.components["dit"]
    arrays = {path: plan for path, plan in record.arrays.items() if path != "patch/bias"}
    changed = dataclasses.replace(manifest, components={"dit": dataclasses.replace(record, arrays=arrays)})
    write_manifest(tmp_path / "out", changed)
    with pytest.raises(ValueError, match="patch/bias: is missing"):
        load_params(tmp_path / "out", DIT)
