"""Cameras that come live: a person, an agent or a program is asked chunk by chunk."""

from collections.abc import Callable, Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np

from worldkv_jax.cameras import relative, validate_poses
from worldkv_jax.memory import KVSpec
from worldkv_jax.rollout.backbone import ChunkInput

CameraSource = Callable[[int], Any]
"""Is asked once a chunk, with its number: camera-to-world poses ``[F, 4, 4]`` of its latent frames, or
``[B, F, 4, 4]`` of every world's; ``None`` ends the rollout."""


def live_chunks(
    source: CameraSource,
    spec: KVSpec,
    *,
    worlds: int = 1,
    conditions: Callable[[int], Any] = lambda chunk: None,
    first: int = 0,
) -> Iterator[ChunkInput]:
    """Make what each chunk is given, each when it is due and not before.

    Give it to `stream`, which yields each chunk before it asks for the next one: whoever answers has seen all frames up
    to there.

    Args:
        source: what to ask.
        spec: of the backbone.
        worlds: worlds in the batch.
        conditions: makes what else a chunk is given, by its number.
        first: number of the first chunk.

    Yields:
        Each chunk's cameras, relative to the first camera of the first chunk, and its conditions.

    Raises:
        ValueError: poses of another shape, or not rigid or finite.
    """
    origins, chunk = None, first
    while (poses := source(chunk)) is not None:
        poses = np.asarray(poses, np.float64)
        poses = np.broadcast_to(poses, (worlds, *poses.shape)) if poses.ndim == 3 else poses
        expected = (worlds, spec.chunk_frames, 4, 4)
        if poses.shape != expected:
            raise ValueError(
                f"got cameras of shape {poses.shape} for chunk {chunk}, expected {expected[1:]} or {expected}: "
                "[worlds, latent frames of a chunk, 4, 4]"
            )
        for world, path in enumerate(poses):
            validate_poses(path, name=f"cameras of chunk {chunk}, world {world}")
        # Before anything is rounded: a world may lie far from where its coordinates begin.
        origins = poses[:, :1] if origins is None else origins
        yield ChunkInput(jnp.asarray(relative(origins, poses), jnp.float32), conditions(chunk))
        chunk += 1
