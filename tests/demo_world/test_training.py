"""Training learns, can be interrupted, and its weights come back as they were saved."""

import csv
import dataclasses
import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from ports.demo_world.codec import Codec
from ports.demo_world.model import DemoConfig, DemoDiT
from ports.demo_world.training import train as training
from ports.demo_world.training.command import TrainCommand
from ports.demo_world.training.objective import importance_of
from ports.demo_world.training.probe import make_probe
from ports.demo_world.training.train import TrainConfig, train
from ports.demo_world.training.training_data import side_by_side
from ports.demo_world.weights import load_weights, save_weights
from ports.demo_world.worlds.room_walks import room_walk
from ports.wan.nn.chunk_attention import ChunkMask
from ports.wan.nn.parameters import init_params

TINY = DemoConfig(dim=24, heads=2, layers=1, ffn_dim=24, frequency_dim=8)


@pytest.fixture(autouse=True)
def standard_promotion():
    """Optax mixes integers and floats."""
    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.fixture
def two_probes(monkeypatch):
    """Look at two walks instead of 32, whose rendering takes gigabytes: what goes on does not depend on it."""
    monkeypatch.setattr(training, "make_probe", functools.partial(make_probe, size=2))


def run(out, steps, model=TINY, **changes):
    config = TrainConfig(steps=10, batch=2, chunks=3, worlds=4, report_every=5, **changes)
    train(config, model, out, log=lambda text: None, stop_at=steps)
    return load_weights(out / "demo_world.safetensors")


@pytest.mark.long
@pytest.mark.parametrize(
    ("world", "past"), [pytest.param("rooms", "gaps", marks=pytest.mark.slow), ("apartments", "clips")]
)
@pytest.mark.usefixtures("two_probes")
def test_interrupted_training_goes_on_bit_for_bit(tmp_path, world, past):
    model = dataclasses.replace(TINY, world=world)
    whole = run(tmp_path / "whole", 10, model, past=past)
    run(tmp_path / "parts", 5, model, past=past)
    parts = run(tmp_path / "parts", 10, model, past=past)
    assert parts[0] == model
    with pytest.raises(ValueError, match="holds another run") as error:
        run(tmp_path / "parts", 10, dataclasses.replace(model, layers=2), past=past)
    assert "layers=1, now 2" in str(error.value)
    jax.tree.map(np.testing.assert_array_equal, whole[1:], parts[1:])
    rows = list(csv.DictReader((tmp_path / "parts" / "curve.csv").open()))
    assert [row["step"] for row in rows] == ["5", "10"]
    assert float(rows[1]["loss"]) < float(rows[0]["loss"])


def test_clips_are_whole_and_every_chunk_is_denoised_given_all_before_it():
    chunks, tokens = 3, 4
    latents = jnp.arange(2 * chunks * tokens, dtype=jnp.float32).reshape(2, chunks * tokens, 1)
    batch = side_by_side(jax.random.key(0), latents, -latents, chunks)
    # Two clean chunks, then three noisy ones: the rows are who looks.
    assert batch.visible == ChunkMask(reach=((0,), (0, 1), (2,), (0, 3), (0, 1, 4)))
    np.testing.assert_array_equal(batch.frames[0], [*range(6), *range(9)])
    assert (batch.t[:, :2] == 0).all() and (batch.t[:, 2:] > 0).all()
    np.testing.assert_array_equal(batch.latents, jnp.concatenate([latents[:, : 2 * tokens], latents], axis=1))
    np.testing.assert_array_equal(batch.rays, -batch.latents)


def test_clips_never_jump():
    walk = jax.jit(jax.vmap(lambda key: room_walk(key, 7, jumps=False)))
    poses = np.asarray(walk(jax.random.split(jax.random.key(0), 64)))
    turn = poses[:, 1:, :3, :3] @ np.swapaxes(poses[:, :-1, :3, :3], -1, -2)
    angle = np.rad2deg(np.arccos(np.clip((np.trace(turn, axis1=-2, axis2=-1) - 1) / 2, -1, 1)))
    assert angle.max() < 25 and angle.min() > 3
    assert np.abs(np.diff(poses[..., :3, 3], axis=1)).max() < 0.15


def test_an_unknown_past_is_refused():
    with pytest.raises(ValueError, match="gaps, clips"):
        TrainConfig(past="holes")


@pytest.mark.parametrize("visible", [-0.1, 1.5])
def test_a_visibility_out_of_range_is_refused(visible):
    with pytest.raises(ValueError, match="from 0"):
        TrainConfig(visible=visible)


def test_a_latent_error_counts_as_the_pixels_it_makes():
    codec = Codec(jnp.zeros(48), jnp.eye(48, 20), jnp.linspace(2.0, 0.1, 20))
    latents, error = jax.random.normal(jax.random.key(0), (2, 8, 12, 20)) * 0.01
    scale, basis = np.asarray(codec.scale), np.asarray(codec.basis)
    first, second = ((np.asarray(x) * scale) @ basis.T for x in (latents, latents + error))
    counted = np.sum(np.asarray(codec.visibility) * np.square(error))
    np.testing.assert_allclose(counted, np.sum((second - first) ** 2), rtol=1e-4)
    np.testing.assert_array_equal(importance_of(codec, 0.0), np.ones(80))
    np.testing.assert_allclose(importance_of(codec, 1.0).mean(), 1, rtol=1e-6)
    assert (np.diff(importance_of(codec, 0.5).reshape(4, 20)) < 0).all()


@pytest.mark.long
@pytest.mark.usefixtures("two_probes")
def test_training_goes_on_from_given_weights(weights_file, tmp_path):
    config, codec, params = load_weights(weights_file)
    begin = TrainConfig(steps=10, batch=2, chunks=3, worlds=4, begin=str(weights_file), learning_rate=0.0)
    train(begin, config, tmp_path / "more", log=lambda text: None, stop_at=1)
    jax.tree.map(
        np.testing.assert_array_equal, load_weights(tmp_path / "more" / "demo_world.safetensors")[1:], (codec, params)
    )
    weights_file.rename(tmp_path / "elsewhere.safetensors")
    train(begin, config, tmp_path / "more", log=lambda text: None, stop_at=2)
    jax.tree.map(np.testing.assert_array_equal, load_weights(tmp_path / "more" / "demo_world.safetensors")[1], codec)
    (tmp_path / "elsewhere.safetensors").rename(weights_file)
    with pytest.raises(ValueError, match=r"dim=24.*dim=48"):
        train(begin, dataclasses.replace(config, dim=48), tmp_path / "other")


@pytest.fixture
def weights_file(tmp_path):
    codec = Codec(np.zeros(48, np.float32), np.eye(48, 20, dtype=np.float32), np.ones(20, np.float32))
    save_weights(tmp_path / "demo_world.safetensors", TINY, codec, init_params(DemoDiT, TINY, 0))
    return tmp_path / "demo_world.safetensors"


def test_weights_come_back_as_float16_kept_them(weights_file):
    config, codec, params = load_weights(weights_file)
    assert config == TINY
    np.testing.assert_array_equal(codec.basis, np.eye(48, 20))
    jax.tree.map(
        lambda got, want: np.testing.assert_array_equal(got, np.float16(want)), params, init_params(DemoDiT, TINY, 0)
    )


def test_damaged_weights_are_refused(weights_file, tmp_path):
    whole = weights_file.read_bytes()
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="damaged"):
        load_weights(cut)
    cut.write_bytes(b"not weights at all")
    with pytest.raises(ValueError, match="damaged"):
        load_weights(cut)
    with pytest.raises(ValueError, match="/dev/null holds no weights of a demo world"):
        load_weights(Path("/dev/null"))
    with pytest.raises(IsADirectoryError, match=str(tmp_path)):  # and not: no such device
        load_weights(tmp_path)


def test_foreign_weights_name_every_problem(weights_file, tmp_path):
    with safe_open(weights_file, framework="numpy") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    tensors["model.extra"] = np.zeros(1, np.float16)
    del tensors["codec.mean"]
    tensors["model.head.linear.bias"] = np.zeros(3, np.float16)
    save_file(tensors, tmp_path / "foreign.safetensors", metadata=metadata)
    with pytest.raises(ValueError) as error:
        load_weights(tmp_path / "foreign.safetensors")
    for part in ("missing codec.mean", "unexpected model.extra", "model.head.linear.bias has shape (3,)"):
        assert part in str(error.value)
    with pytest.raises(FileNotFoundError):
        load_weights(tmp_path / "nowhere.safetensors")


@pytest.mark.parametrize("name", ["steps", "batch", "worlds", "report_every", "heads"])
def test_counts_that_train_nothing_are_refused(name):
    with pytest.raises(ValueError, match=f"`{name}` 0: give at least 1"):
        TrainCommand(**{name: 0})
    with pytest.raises(ValueError, match="`learning_rate` 0: give a positive number"):
        TrainCommand(learning_rate=0.0)
