"""Saved trees come back as they were, whole or not at all."""

import os
import typing

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from checkpoints import pytrees
from checkpoints.pytrees import load_pytree, save_pytree


class Pair(typing.NamedTuple):
    left: typing.Any
    right: typing.Any


def tree():
    return {
        "weights": Pair(jnp.arange(6.0).reshape(2, 3), jnp.ones(4, jnp.bfloat16)),
        "key": jax.random.key(7),
        "old key": jax.random.PRNGKey(7),
        "step": 5,
        "numpy": np.arange(3, dtype=np.int64),
        "nothing": None,
        "empty": jnp.zeros((2, 0, 3), jnp.bfloat16),
        "nested": [jnp.int32(1), (jnp.float32(2.5),)],
    }


def same(got, want):
    assert jax.tree.structure(got) == jax.tree.structure(want)
    for ours, theirs in zip(jax.tree.leaves(got), jax.tree.leaves(want)):
        if hasattr(theirs, "dtype"):
            assert ours.dtype == theirs.dtype
        if jnp.issubdtype(getattr(theirs, "dtype", np.int64), jax.dtypes.prng_key):
            ours, theirs = jax.random.key_data(ours), jax.random.key_data(theirs)
        np.testing.assert_array_equal(ours, theirs)


def test_what_was_saved_comes_back(tmp_path):
    save_pytree(tmp_path / "deep" / "state", tree())
    same(load_pytree(tmp_path / "deep" / "state", tree()), tree())


def test_the_state_of_a_training_comes_back(tmp_path):
    """Optimizers keep empty nodes among full ones, and modules keep their numbers in nodes of their own."""
    params = nnx.split(nnx.Linear(2, 3, rngs=nnx.Rngs(0)))[1]
    state = {"params": params, "optimizer": optax.adamw(1e-3).init(params), "more": ((), [{}, jnp.ones(2)], None)}
    save_pytree(tmp_path / "state", state)
    same(load_pytree(tmp_path / "state", jax.tree.map(jnp.zeros_like, state)), state)


def test_a_restored_key_draws_the_same(tmp_path):
    save_pytree(tmp_path / "state", {"key": jax.random.key(3, impl="rbg")})
    key = load_pytree(tmp_path / "state", {"key": jax.random.key(0, impl="rbg")})["key"]
    np.testing.assert_array_equal(jax.random.normal(key, 5), jax.random.normal(jax.random.key(3, impl="rbg"), 5))


def test_shapes_are_enough_to_load(tmp_path):
    save_pytree(tmp_path / "state", {"a": jnp.arange(4.0)})
    like = jax.eval_shape(lambda: {"a": jnp.zeros(4)})
    np.testing.assert_array_equal(load_pytree(tmp_path / "state", like)["a"], np.arange(4.0))


def test_memory_kinds_are_those_of_the_target(tmp_path):
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0], memory_kind="pinned_host")
    saved = {"a": jax.device_put(jnp.arange(4.0), sharding)}
    save_pytree(tmp_path / "state", saved)
    assert load_pytree(tmp_path / "state", saved)["a"].sharding.memory_kind == "pinned_host"
    on_device = load_pytree(tmp_path / "state", {"a": jnp.zeros(4)})["a"]
    assert on_device.sharding.memory_kind == "device"


def test_saving_again_replaces_and_leaves_nothing_behind(tmp_path):
    for value in (1.0, 2.0):
        save_pytree(tmp_path / "state", {"a": jnp.full(3, value)})
        assert os.listdir(tmp_path) == ["state"]
    np.testing.assert_array_equal(load_pytree(tmp_path / "state", {"a": jnp.zeros(3)})["a"], np.full(3, 2.0))


def test_a_folder_with_something_else_is_left_alone(tmp_path):
    path = tmp_path / "results"
    path.mkdir()
    (path / "mine").write_text("x")
    with pytest.raises(FileExistsError, match="results holds something else, which would be gone"):
        save_pytree(path, {"a": 1})
    assert [entry.name for entry in path.iterdir()] == ["mine"]
    (path / "mine").unlink()
    save_pytree(path, {"a": 1})
    save_pytree(path, {"a": 2})
    assert load_pytree(path, {"a": 0})["a"] == 2


class Dies(Exception):
    pass


@pytest.mark.parametrize("when", ["writing", "renaming the old", "renaming the new"])
def test_whatever_dies_the_last_complete_state_can_be_loaded(when, tmp_path, monkeypatch):
    path = tmp_path / "state"
    save_pytree(path, {"a": jnp.full(3, 1.0)})
    calls = {"rename": 0}
    rename = os.rename

    def dying(*names):
        if names[0] == path or names[1] == path:
            calls["rename"] += 1
            if calls["rename"] == (1 if when == "renaming the old" else 2):
                raise Dies
        return rename(*names)

    if when == "writing":

        def die(*args, **options):
            (tmp_path / "half").mkdir(exist_ok=True)
            raise Dies

        monkeypatch.setattr(pytrees.ocp.StandardCheckpointer, "save", die)
    else:
        monkeypatch.setattr(pytrees.os, "rename", dying)
    with pytest.raises(Dies):
        save_pytree(path, {"a": jnp.full(3, 2.0)})
    monkeypatch.undo()
    got = load_pytree(path, {"a": jnp.zeros(3)})["a"]
    np.testing.assert_array_equal(got, np.full(3, 1.0))
    save_pytree(path, {"a": jnp.full(3, 3.0)})
    np.testing.assert_array_equal(load_pytree(path, {"a": jnp.zeros(3)})["a"], np.full(3, 3.0))


def test_every_leaf_that_differs_is_named(tmp_path):
    save_pytree(tmp_path / "state", {"a": {"b": jnp.zeros((2, 3)), "c": jnp.zeros(2)}, "old": jnp.zeros(1)})
    like = {"a": {"b": jnp.zeros((3, 2)), "c": jnp.zeros(2)}, "new": jnp.zeros(1)}
    with pytest.raises(ValueError) as error:
        load_pytree(tmp_path / "state", like)
    for line in (
        "a/b: stored (2, 3), expected (3, 2)",
        "old: stored, but not expected",
        "new: expected, but not stored",
    ):
        assert line in str(error.value)
    assert "a/c" not in str(error.value)


def test_an_array_of_no_elements_that_was_some_is_refused(tmp_path):
    save_pytree(tmp_path / "state", {"a": jnp.zeros((2, 3))})
    with pytest.raises(ValueError, match="a: stored"):
        load_pytree(tmp_path / "state", {"a": jnp.zeros((2, 0))})


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no saved state at .*nowhere; expected the folder that save_pytree"):
        load_pytree(tmp_path / "nowhere", {"a": 1})


def test_a_file_is_not_replaced(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(NotADirectoryError, match="is a file; give a folder"):
        save_pytree(tmp_path / "file", {"a": 1})
    assert (tmp_path / "file").read_text() == "mine"
