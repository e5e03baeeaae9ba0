"""Models of golden cases: their configuration, and their PyTorch weights as parameters."""

import jax
import jax.numpy as jnp
import numpy as np

from checkpoints.key_tables import expected_tensors
from ports.lingbot_world.checkpoint import ORIGINAL
from ports.lingbot_world.config import LingBotConfig
from ports.lingbot_world.model import LingBotDiT
from ports.wan.parameters import abstract_params


def config_of(settings: dict) -> LingBotConfig:
    """Translate the settings of a case, which are the released class's arguments."""
    return LingBotConfig(
        dim=settings["dim"],
        ffn_dim=settings["ffn_dim"],
        heads=settings["num_heads"],
        layers=settings["num_layers"],
        in_channels=settings["in_dim"],
        out_channels=settings["out_dim"],
        frequency_dim=settings["freq_dim"],
        text_dim=settings["text_dim"],
        text_rows=settings["text_len"],
        control=settings["control_type"],
        dtype="float32",
    )


def params_of(config: LingBotConfig, tensors: dict[str, np.ndarray]) -> dict:
    """Turn PyTorch tensors, named ``params/<key>``, into parameters; every tensor must be used."""
    template = abstract_params(LingBotDiT, config)
    shapes = {_name(path): leaf.shape for path, leaf in jax.tree.leaves_with_path(template)}
    expected = expected_tensors(ORIGINAL, shapes)
    given = {name.removeprefix("params/"): t for name, t in tensors.items() if name.startswith("params/")}
    assert given.keys() == expected.keys()
    filled = {path: np.zeros(shape, np.float32) for path, shape in shapes.items()}
    for key, target in expected.items():
        assert given[key].shape == target.shape, key
        part = ... if target.layer is None else target.layer
        filled[target.path][part] = target.transform.apply(given[key])
    return jax.tree.map_with_path(lambda path, _: jnp.asarray(filled[_name(path)]), template)


def _name(path) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")
