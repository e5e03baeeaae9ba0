"""A session of the tiny backbone, for tests of what surrounds a rollout."""

import numpy as np

from tests.rollout.worlds import BACKBONE, PARAMS, views
from worldkv_jax.memory import MemoryConfig
from worldkv_jax.rollout import Chunk, World
from worldkv_jax.sessions import Cost, Loaded, Session


def tiny_session(memory: MemoryConfig, chunks: int, *, backbone=BACKBONE, params=PARAMS, **options) -> Session:
    """Open the tiny backbone along random cameras."""
    loaded = Loaded(params=params, inputs=lambda *, worlds: views(chunks, worlds=worlds))
    return Session(
        model="tiny",
        backbone=backbone,
        memory=memory,
        chunks=chunks,
        fps=12.0,
        count_cost=lambda: Cost(weights_bytes=0, passes=3, pass_flops=0.0),
        loader=lambda where: loaded,
        **options,
    ).load()


def roll(session: Session, world: World, inputs=None, **options) -> tuple[list[Chunk], World]:
    """Stream to the end; return the chunks and the world."""
    return session.rollout(world, inputs, **options)


def assert_same(ours: list[Chunk], theirs: list[Chunk]) -> None:
    """Compare chunks bit for bit: latents, frames, picks."""
    assert [chunk.index for chunk in ours] == [chunk.index for chunk in theirs]
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a.latents, b.latents)
        np.testing.assert_array_equal(a.retrieved, b.retrieved)
        assert (a.frames is None) == (b.frames is None)
        if a.frames is not None:
            np.testing.assert_array_equal(a.frames, b.frames)
