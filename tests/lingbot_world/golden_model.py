"""Models of golden cases: their configuration, and their PyTorch weights as parameters."""

import dataclasses

import numpy as np

from ports.lingbot_world.checkpoint import DIT
from ports.lingbot_world.config import LingBotConfig
from tests.wan.released import convert


def model_of(settings: dict, tensors: dict[str, np.ndarray]) -> tuple[LingBotConfig, dict]:
    """Return configuration and parameters of a case, in float32.

    Args:
        settings: of the released class, as its ``config.json`` has them.
        tensors: of the case; those named ``params/<key>`` are the weights, all of which must be used.
    """
    weights = {name.removeprefix("params/"): t for name, t in tensors.items() if name.startswith("params/")}
    config, params = convert(DIT, weights, settings)
    return dataclasses.replace(config, dtype="float32"), params
