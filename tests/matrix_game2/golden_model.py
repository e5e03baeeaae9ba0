"""Models of golden cases: their configuration, and their PyTorch weights as parameters."""

import dataclasses

import jax
import numpy as np

from checkpoints.key_tables import expected_tensors
from ports.matrix_game2.actions import action_windows
from ports.matrix_game2.backbone import Given
from ports.matrix_game2.checkpoint import ORIGINAL, PREFIX, configure
from ports.matrix_game2.config import MatrixGameConfig
from ports.matrix_game2.model import MatrixGameDiT
from ports.wan.latents import CHUNK_FRAMES
from ports.wan.nn.parameters import abstract_params


def given_tensors(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the PyTorch tensors of a case, ``params/<key>``, as the released files name them."""
    return {PREFIX + name.removeprefix("params/"): t for name, t in tensors.items() if name.startswith("params/")}


def config_of(settings: dict, tensors: dict[str, np.ndarray]) -> MatrixGameConfig:
    """Make the configuration of a case as that of a checkpoint is made, and check it against the settings."""
    config = configure({key: t.shape for key, t in given_tensors(tensors).items()}, settings)
    actions = settings["action_config"]
    assert actions["blocks"] == list(range(config.action_layers))
    assert (config.dim, config.heads, config.layers) == tuple(settings[k] for k in ("dim", "num_heads", "num_layers"))
    assert (config.action_heads, config.keyboard_dim) == (actions["heads_num"], actions["hidden_size"])
    assert (config.keyboard_columns, config.mouse) == (actions["keyboard_dim_in"], actions["enable_mouse"])
    assert config.window_frames == settings["local_attn_size"]
    return dataclasses.replace(config, dtype="float32")


def params_of(config: MatrixGameConfig, tensors: dict[str, np.ndarray]) -> dict:
    """Turn the PyTorch tensors of a case into parameters; every tensor must be used."""
    return fill(abstract_params(MatrixGameDiT, config), given_tensors(tensors))


def fill(template: dict, given: dict[str, np.ndarray], *, prefix: str = "", rows=ORIGINAL) -> dict:
    """Fill parameters by a key table; ``prefix`` is where they lie among all parameters of the table."""
    shapes = {prefix + _name(path): leaf.shape for path, leaf in jax.tree.leaves_with_path(template)}
    expected = expected_tensors(rows, shapes)
    assert given.keys() == expected.keys()
    filled = {path: np.zeros(shape, np.float32) for path, shape in shapes.items()}
    for key, target in expected.items():
        assert given[key].shape == target.shape, key
        part = ... if target.layer is None else target.layer
        filled[target.path][part] = target.transform.apply(given[key])
    return jax.tree.map_with_path(lambda path, _: jax.device_put(filled[prefix + _name(path)]), template)


def given_chunk(tensors: dict[str, np.ndarray], chunk: int) -> Given:
    """Return what one chunk of a case is conditioned on."""
    frames = range(chunk * CHUNK_FRAMES, (chunk + 1) * CHUNK_FRAMES)

    def windows(name):
        if f"in/{name}_cond" not in tensors:
            return None
        return jax.device_put(np.stack([action_windows(track, frames) for track in tensors[f"in/{name}_cond"]]))

    return Given(
        keyboard=windows("keyboard"),
        mouse=windows("mouse"),
        image=channels_last(tensors["in/cond_concat"][:, :, frames.start : frames.stop]),
        tokens=jax.device_put(tensors["in/visual_context"]),
    )


def channels_last(x: np.ndarray) -> jax.Array:
    """Move the channels of ``[B, C, F, h, w]`` to the end."""
    return jax.device_put(np.moveaxis(x, 1, -1))


def _name(path) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")
