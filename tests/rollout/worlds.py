"""Rollouts of the tiny backbone, for tests."""

import numpy as np

from tests.memory.walks import poses
from tests.rollout.tiny_backbone import TinyBackbone
from worldkv_jax import memory as wm
from worldkv_jax import rollout as ro

LENGTH = 9
"""Chunks that a world has room for, however many it makes: worlds of one length share their programs."""
BACKBONE = TinyBackbone()
PARAMS = BACKBONE.init_params()


def views(chunks: int, *, worlds: int = 1, seed: int = 0) -> list[ro.ChunkInput]:
    """Random cameras, cut into chunks."""
    path = np.moveaxis(poses(chunks, worlds=worlds, seed=seed), 1, 0)
    return ro.chunk_inputs(path.reshape(worlds, -1, 4, 4), BACKBONE.spec)


def noise(index: int, worlds: int = 1, steps: int = 2) -> np.ndarray:
    """Noise of chunk ``index``, made without JAX."""
    shape = (steps, worlds, *BACKBONE.latent_shape)
    return np.random.default_rng(index).normal(size=shape).astype(np.float32)


def run(config: wm.MemoryConfig, chunks: int = LENGTH, *, live=False, worlds=1, backbone=BACKBONE, **options):
    """Roll out from nothing along random cameras; ``live`` gives the cameras one at a time."""
    world = ro.start(backbone, PARAMS, config, chunks=LENGTH, worlds=worlds)
    inputs = views(chunks, worlds=worlds)
    options = {"noise": lambda i: noise(i, worlds), "decode": False, **options}
    return ro.rollout(backbone, PARAMS, world, iter(inputs) if live else inputs, **options)


def latents(made: list[ro.Chunk]) -> np.ndarray:
    """All latents ``[chunks, B, ...]``."""
    return np.stack([chunk.latents for chunk in made])
