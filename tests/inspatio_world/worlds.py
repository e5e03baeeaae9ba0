"""Tiny InSpatio-World rollouts with random weights, without a VAE."""

import functools

import jax
import numpy as np

from ports.inspatio_world.backbone import InSpatioWorld, Source
from ports.inspatio_world.config import TINY
from ports.wan.backbone import WanParams
from ports.wan.nn.dit import WanDiT
from ports.wan.nn.parameters import init_params
from worldkv_jax.cameras import pose_from_angles
from worldkv_jax.rollout import ChunkInput, chunk_inputs, rollout, start

ROWS, COLUMNS = 4, 6


def backbone(**options) -> InSpatioWorld:
    """Make the model at a tiny size."""
    return InSpatioWorld(config=TINY, rows=ROWS, columns=COLUMNS, **options)


@functools.cache
def params() -> WanParams:
    """Draw its weights, large enough that everything it sees matters."""
    drawn = init_params(WanDiT, TINY, 0)
    return WanParams(jax.tree.map(lambda a: 2 * np.asarray(a), drawn), None)


def out_and_back(chunks: int) -> np.ndarray:
    """Return camera-to-world poses of a turn to the right and back, ``[3 * chunks, 4, 4]``."""
    turn = np.concatenate([np.arange(3 * chunks // 2), np.arange(-(-3 * chunks // 2))[::-1]])
    return pose_from_angles(8.0 * turn)


def sources(chunks: int, *, worlds: int = 1, known: float = 1.0, seed: int = 0) -> list[Source]:
    """Draw sources that show a share of what the new cameras see."""
    rng, shape = np.random.default_rng(seed), (worlds, 3, ROWS, COLUMNS)
    text = rng.standard_normal((worlds, TINY.text_rows, TINY.text_dim), np.float32)
    mask = np.where(np.arange(COLUMNS)[:, None] < known * COLUMNS, 1.0, -1.0).astype(np.float32)

    def draw():
        reference, render = rng.standard_normal((2, *shape, 16), np.float32)
        return Source(reference=reference, mask=np.broadcast_to(mask, (*shape, 4)), render=render, text=text)

    return [jax.device_put(draw()) for _ in range(chunks)]


def inputs(chunks: int, **options) -> list[ChunkInput]:
    """Return what a rollout out and back is given."""
    given = sources(chunks, **options)
    worlds = given[0].text.shape[0]
    poses = np.broadcast_to(out_and_back(chunks), (worlds, 3 * chunks, 4, 4))
    return chunk_inputs(poses, backbone().spec, conditions=given)


def run(memory, chunks, *, model: InSpatioWorld | None = None, given=None):
    """Roll out; return the chunks and the world after them."""
    model = model or backbone()
    given = given or inputs(chunks)
    worlds = given[0].cameras.shape[0]
    world = start(model, params(), memory, chunks=chunks, worlds=worlds)
    return rollout(model, params(), world, given, key=jax.random.key(1), decode=False)


@functools.cache
def compiled(model: InSpatioWorld, method: str):
    """Return a method of the model, compiled once for all tests."""
    return jax.jit(getattr(model, method))
