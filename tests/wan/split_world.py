"""A tiny LingBot-World on a mesh, for tests: what is rolled out there and on one device; also run as a process of two.

``python -m tests.wan.split_world ADDRESS PROCESS FOLDER`` is one of two processes with four devices each.
"""

import dataclasses
import functools
import math
import os
import sys
from pathlib import Path

if __name__ == "__main__":
    os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"

import jax
import numpy as np
from jax.sharding import AxisType, Mesh

from ports.lingbot_world.backbone import Given, LingBotWorld
from ports.lingbot_world.config import TINY
from ports.lingbot_world.model import LingBotDiT
from ports.wan.backbone import WanParams
from ports.wan.nn.parameters import abstract_params
from ports.wan.sharding import param_shardings
from tests.wan.drawn import draw
from worldkv_jax.cameras import trajectory
from worldkv_jax.memory import BankConfig, CompressionConfig, MemoryConfig, RetrievalConfig
from worldkv_jax.rollout import ChunkInput, World, chunk_inputs, rollout, start, start_on_mesh

WORLDS, CHUNKS, CELLS = 2, 6, (4, 4)
BACKBONE = LingBotWorld(config=dataclasses.replace(TINY, dim=64, heads=8), rows=CELLS[0], columns=CELLS[1])


@functools.cache
def draw_params() -> WanParams:
    """Random parameters; not on import, because a process has to find the other before its first array."""
    return WanParams(draw(abstract_params(LingBotDiT, BACKBONE.config), 0), None)


def memory(**bank) -> MemoryConfig:
    """A memory that prunes and retrieves two chunks."""
    return MemoryConfig(
        retrieval=RetrievalConfig(chunks=2), compression=CompressionConfig(keep_ratio=0.5), bank=BankConfig(**bank)
    )


def make_mesh(data: int, model: int, sequence: int | None = None) -> Mesh:
    """A mesh of the first devices; without an axis for tokens by default."""
    shape = (data, model) if sequence is None else (data, model, sequence)
    names = ("data", "model", "sequence")[: len(shape)]
    devices = jax.devices()[: math.prod(shape)]
    return jax.make_mesh(shape, names, axis_types=(AxisType.Auto,) * len(shape), devices=devices)


def place(config: MemoryConfig, mesh: Mesh | None, *, fsdp: bool = False) -> tuple[WanParams, World]:
    """Parameters and a fresh world on a mesh, or on one device."""
    params = draw_params()
    if mesh is None:
        return params, start(BACKBONE, params, config, chunks=CHUNKS, worlds=WORLDS)
    params = jax.device_put(params, param_shardings(params, mesh, fsdp=fsdp))
    return params, start_on_mesh(BACKBONE, params, config, mesh, chunks=CHUNKS, worlds=WORLDS)


def inputs() -> list[tuple[ChunkInput, np.ndarray]]:
    """Cameras, conditions and noise of every chunk; NumPy, and so the same in every process."""
    rng = np.random.default_rng(1)
    length = 12 * CHUNKS
    poses = np.stack([trajectory("R60 W L30", length)[::4], trajectory("L30 W R60", length)[::4]])
    cells = (WORLDS, 3, *CELLS)

    def normal(*shape):
        return rng.normal(size=shape).astype(np.float32)

    prompt = normal(WORLDS, TINY.text_rows, TINY.text_dim)
    conditions = [
        Given(normal(*cells, BACKBONE.config.camera_channels), normal(*cells, 20), prompt) for _ in range(CHUNKS)
    ]
    chunks = jax.tree.map(np.asarray, chunk_inputs(poses, BACKBONE.spec, conditions=conditions))
    return [(chunk, normal(BACKBONE.schedule.steps, WORLDS, *BACKBONE.latent_shape)) for chunk in chunks]


def roll(params: WanParams, world: World) -> tuple[np.ndarray, np.ndarray, World]:
    """Latents ``[chunks, B, ...]`` and picked chunks ``[chunks, B, K]`` of a whole rollout, and the world after it."""
    chunks, noise = zip(*inputs())
    made, world = rollout(BACKBONE, params, world, chunks, noise=lambda index: noise[index], decode=False)
    missing = [((0, 0), (0, 2 - chunk.retrieved.shape[1])) for chunk in made]
    picked = [np.pad(chunk.retrieved, width, constant_values=-1) for chunk, width in zip(made, missing)]
    return np.stack([chunk.latents for chunk in made]), np.stack(picked), world


def main(address: str, process: str, folder: str) -> None:
    """Roll out with heads split over the devices of both processes, and write what was made."""
    jax.distributed.initialize(address, num_processes=2, process_id=int(process))
    mesh = make_mesh(1, 8)
    with jax.set_mesh(mesh):
        latents, picked, _ = roll(*place(memory(), mesh))
    np.savez(Path(folder) / f"{process}.npz", latents=latents, picked=picked)


if __name__ == "__main__":
    main(*sys.argv[1:])
