"""Tiny untrained worlds of every variant, for tests."""

import functools

import jax
import numpy as np

from ports.matrix_game2.actions import Rows, rows_of_keys
from ports.matrix_game2.backbone import MatrixGame2
from ports.matrix_game2.config import TINY
from ports.matrix_game2.model import MatrixGameDiT
from ports.matrix_game2.play import cut_rows, follow
from ports.matrix_game2.scene import Scene
from ports.matrix_game2.variants import VARIANTS, Variant
from ports.wan.autoencoders.wan_vae import VAEConfig
from ports.wan.backbone import WanParams
from ports.wan.nn.parameters import abstract_params
from worldkv_jax import rollout as ro

ROWS, COLUMNS, TOKENS = 4, 6, 5
SIZES = {
    name: getattr(TINY, name)
    for name in (
        *("dim", "ffn_dim", "heads", "layers", "frequency_dim", "image_dim", "keyboard_dim"),
        *("action_layers", "action_heads", "action_head_dim", "dtype"),
    )
}
VAE = VAEConfig(dim=4)


@functools.cache
def tiny(name: str) -> tuple[MatrixGame2, WanParams]:
    """Make a tiny backbone of a variant and draw its parameters; it has no decoder's."""
    variant = VARIANTS[name]
    config = variant.configure(**SIZES)
    params = draw(abstract_params(MatrixGameDiT, config), seed=1)
    backbone = MatrixGame2(config=config, rows=ROWS, columns=COLUMNS, schedule=variant.schedule, vae=VAE)
    return backbone, WanParams(params, None)


def draw(template: dict, seed: int) -> dict:
    """Draw parameters on the host, without compiling anything: so large that every part of the model matters."""
    rng = np.random.default_rng(seed)

    def leaf(path, shape):
        name = path[-1].key
        values = rng.normal(size=shape.shape)
        if name in ("kernel", "time_conv"):
            values *= np.prod(shape.shape[-2:-1]) ** -0.5
        else:
            values *= 0.2
        return (values + (name in ("weight", "gamma"))).astype(np.float32)

    return jax.device_put(jax.tree.map_with_path(leaf, template))


def scene(worlds: int = 1, seed: int = 0) -> Scene:
    """Draw what the first images would contribute; worlds of a batch differ."""
    rng = np.random.default_rng(seed)
    cells = rng.normal(size=(worlds, 30, ROWS, COLUMNS, 20))
    cells[..., :4] = np.arange(30)[:, None, None, None] == 0
    tokens = rng.normal(size=(worlds, TOKENS, TINY.image_dim))
    return jax.device_put(Scene(cells.astype(np.float32), tokens.astype(np.float32)))


def inputs(variant: Variant, keys: list[list[str]], seed: int = 0) -> list[ro.ChunkInput]:
    """Make the inputs of a batch of worlds in which these keys are pressed."""
    rows: list[Rows] = [rows_of_keys(variant, world) for world in keys]
    return list(follow(scene(len(keys), seed), variant, cut_rows(rows)))


def noise(index: int, backbone: MatrixGame2, worlds: int = 1) -> np.ndarray:
    """Draw the noise of a chunk; every world of a batch has the noise it would have alone."""
    shape = (worlds, backbone.schedule.steps, *backbone.latent_shape)
    return np.random.default_rng(index).standard_normal(shape, np.float32).swapaxes(0, 1)
