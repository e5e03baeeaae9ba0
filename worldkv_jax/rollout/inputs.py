"""Inputs of a rollout: camera paths cut into chunks, and checked before anything is made of them."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from worldkv_jax.cameras import relative, validate_poses
from worldkv_jax.memory import KVSpec, check_room
from worldkv_jax.memory.layout import Layout
from worldkv_jax.rollout.backbone import ChunkInput


def chunk_inputs(
    poses: np.ndarray, spec: KVSpec, *, conditions: Sequence[Any] | None = None, origin: np.ndarray | None = None
) -> list[ChunkInput]:
    """Cut a camera path into chunks, relative to its first camera: cameras are float32 from here on.

    Args:
        poses: ``[n, 4, 4]`` or ``[B, n, 4, 4]`` camera-to-world poses of latent frames, OpenCV axes.
        spec: of the backbone.
        conditions: what else each chunk is given, one pytree a chunk.
        origin: camera ``[4, 4]`` or ``[B, 4, 4]`` that the rollout began with, where the path continues one; by default
            that of the path itself.

    Raises:
        ValueError: poses that are not rigid or finite, fewer frames than a chunk, frames that do not fill
            the last chunk, or another number of conditions.
    """
    poses = np.asarray(poses)
    poses = poses[None] if poses.ndim == 3 else poses
    if poses.ndim != 4 or not len(poses):
        raise ValueError(f"poses have shape {poses.shape}; expected [n, 4, 4] or [worlds, n, 4, 4]")
    poses = np.stack([validate_poses(world, name=f"poses of world {b}") for b, world in enumerate(poses)])
    frames, size = poses.shape[1], spec.chunk_frames
    if frames < size:
        raise ValueError(f"a trajectory of {frames} latent frames is shorter than one chunk; give at least {size}")
    if frames % size:
        raise ValueError(
            f"{frames} latent frames do not fill chunks of {size}; cut the trajectory to {frames // size * size} "
            f"or hold the last pose up to {-(-frames // size) * size}"
        )
    count = frames // size
    if conditions is not None and len(conditions) != count:
        raise ValueError(f"got conditions for {len(conditions)} chunks, but the trajectory has {count}")
    first = poses[:, 0] if origin is None else np.asarray(origin, np.float64)
    poses = relative(first[..., None, :, :], poses)
    cameras = jnp.asarray(poses, jnp.float32).reshape(poses.shape[0], count, size, 4, 4)
    return [ChunkInput(cameras[:, i], None if conditions is None else conditions[i]) for i in range(count)]


def as_list(chunks: Sequence[ChunkInput]) -> list[ChunkInput]:
    """Return the chunks as a list.

    Raises:
        ValueError: a single chunk.
    """
    if isinstance(chunks, ChunkInput):  # is a sequence itself
        raise ValueError("got one ChunkInput; give a list of them, such as chunk_inputs(poses, backbone.spec)")
    return list(chunks)


def check_chunks(layout: Layout, chunks: list[ChunkInput], first: int) -> None:
    """Check that chunks can be made, on the host, where errors can be raised.

    Args:
        layout: of the memory.
        chunks: cameras and conditions.
        first: id of the first of them.

    Raises:
        ValueError: no room for a chunk, cameras of another shape, or poses that are not rigid or finite.
    """
    expected = (layout.worlds, layout.spec.chunk_frames, 4, 4)
    for index, chunk in enumerate(chunks, first):
        if not hasattr(chunk, "cameras"):
            raise ValueError(
                f"chunk {index} is a {type(chunk).__name__}, expected a ChunkInput: chunk_inputs(poses, spec) makes "
                "them, and the inputs(poses) of a session"
            )
        check_room(layout, index)
        cameras = np.asarray(chunk.cameras)
        if cameras.shape != expected:
            raise ValueError(
                f"cameras of chunk {index} have shape {cameras.shape}, expected {expected}: [worlds, frames of a "
                "chunk, 4, 4]; chunk_inputs cuts a path into chunks"
            )
        for b, poses in enumerate(cameras):
            validate_poses(poses, name=f"cameras of chunk {index}, world {b}")
