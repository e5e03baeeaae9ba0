"""From options to a rollout of the demo world."""

import dataclasses
import functools
import typing
from collections.abc import Iterable

import jax
import numpy as np

from ports.demo_world.backbone import DemoWorld
from ports.demo_world.cost import demo_cost
from ports.demo_world.steering import DemoSteering
from ports.demo_world.weights import shipped_weights
from ports.wan.nn.quantized import quantize_blocks
from ports.wan.program.weights import transformer_sharding, whole_sharding
from worldkv_jax.cameras import trajectory
from worldkv_jax.memory import DEFAULT, MemoryConfig
from worldkv_jax.rollout import CameraSource, ChunkInput, chunk_inputs, live_chunks
from worldkv_jax.sessions import Loaded, MemoryOptions, Placement, Session, choose_memory

if typing.TYPE_CHECKING:
    from ports.demo_world.options import DemoOptions

FPS = 12.0
"""Frames a second of the video."""
_SHOWN_CELL = 32  # pixels of a latent cell in the video


def open_session(
    options: "DemoOptions", memory: MemoryConfig | MemoryOptions | None, *, weights: bool, decode: bool
) -> Session:
    """Check what was asked for, see `worldkv_jax.sessions.ModelOptions.check`."""
    if options.worlds < 1:
        raise ValueError(f"`worlds` {options.worlds}: at least one world is needed")
    checkpoint = options.checkpoint or str(shipped_weights(options.family, options.past))
    backbone = DemoWorld.sized(checkpoint)
    schedule = backbone.schedule.fewer_passes(options.steps, options.commit)
    backbone = dataclasses.replace(backbone, schedule=schedule)
    poses = trajectory(options.trajectory, degrees_per_frame=options.degrees_per_frame, hold_frames=3)
    size = backbone.spec.chunk_frames
    poses = np.concatenate([poses, np.repeat(poses[-1:], -len(poses) % size, axis=0)])  # hold up to a whole chunk
    return Session(
        model="demo-world",
        backbone=backbone,
        memory=choose_memory(memory, DEFAULT.fitted(len(poses) // size)),
        chunks=len(poses) // size,
        fps=FPS,
        count_cost=functools.partial(demo_cost, backbone, options.worlds, options.weights),
        loader=functools.partial(_load, backbone, checkpoint, options.weights, poses),
        worlds=options.worlds,
        pixel_scale=_SHOWN_CELL // backbone.config.family.cell,
        decode=decode,
        summary={"trajectory": options.trajectory, "degrees_per_frame": options.degrees_per_frame},
    )


def _load(backbone: DemoWorld, checkpoint: str, weights: str | None, poses: np.ndarray, where: Placement) -> Loaded:
    _, params = DemoWorld.load(checkpoint)
    split, whole = transformer_sharding(where), whole_sharding(where)
    model = jax.device_put(params.model, split(params.model) if callable(split) else split)
    params = params._replace(
        model=quantize_blocks(model, weights),
        codec=jax.device_put(params.codec, whole),
    )

    def inputs(path: np.ndarray | CameraSource = poses, *, worlds: int) -> Iterable[ChunkInput]:
        if callable(path):
            return live_chunks(path, backbone.spec, worlds=worlds)
        return chunk_inputs(np.broadcast_to(path, (worlds, *np.shape(path)[-3:])), backbone.spec)

    return Loaded(params=params, inputs=inputs, steering=DemoSteering(backbone, params))
