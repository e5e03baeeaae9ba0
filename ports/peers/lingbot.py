"""Chunks of LingBot-World-Fast beside the released WorldKV: its `generate` itself, of a small model on a CPU."""

import dataclasses
import functools
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch

from checkpoints.restore import load_params
from ports.lingbot_world.backbone import Given, LingBotWorld
from ports.lingbot_world.camera import make_lens, motion_scale
from ports.lingbot_world.checkpoint import DIT
from ports.lingbot_world.released_flags import released_memory
from ports.lingbot_world.schedule import SHIFT, lingbot_schedule
from ports.peers.upstream import Turns, after, import_clone
from ports.wan.backbone import WanParams
from ports.wan.latents import CELL, CHUNK_FRAMES, LATENT_CHANNELS, frames_of
from ports.wan.program.first_frame import mask_first
from worldkv_jax.benchmarks.pairs import Pair, Place, Work
from worldkv_jax.cameras import DEFAULT_INTRINSICS, latent_poses
from worldkv_jax.rollout import chunk_inputs, generate_chunk, start

FILE = "wan/image2video_fast.py"
PROMPT_ROWS = 40


@dataclasses.dataclass(frozen=True, kw_only=True)
class Size:
    """Of the model and of its video."""

    dim: int = 512
    ffn_dim: int = 1408
    heads: int = 4
    layers: int = 2
    rows: int = 30
    """Of latents."""
    columns: int = 52


def compare(place: Place, flags: Mapping[str, Any], first: int, size: Size = Size()) -> Pair:
    """Generate one chunk after the other.

    Args:
        place: with a clone of WorldKV.
        flags: of the released program, which choose the memory.
        first: chunks that are made before the first that is compared.
        size: of the model.
    """
    clone = place.clone_with(FILE, "WorldKV (cvlab-kaist/WorldKV)")
    chunks = first + 1 + place.rounds
    if not (place.scratch / "noise.npy").exists():
        _write(place, chunks, size, clone)

    tokens = CHUNK_FRAMES * size.rows * size.columns // 4
    return Pair(
        what=f"chunk {first} and on, {tokens} tokens each, width {size.dim}, {size.layers} layers, float32",
        ours=lambda: after(first, _open_ours(place, chunks, size, flags)),
        theirs=lambda: after(first, _open_theirs(place, chunks, size, flags, clone)),
        tolerance=1e-3,
    )


sliding = functools.partial(compare, flags={"sliding_window": 9}, first=4)
full_10 = functools.partial(compare, flags={"full_kv": True}, first=10)
full_30 = functools.partial(compare, flags={"full_kv": True}, first=30)
worldkv = functools.partial(
    compare,
    flags={
        "use_retrieval": True,
        "retrieval_frames": 18,
        "kv_compression_enable": True,
        "kv_compression_at_store": True,
        "kv_compression_pooled": True,
        "kv_bank_on_gpu": True,
    },
    first=12,
)


def _write(place: Place, chunks: int, size: Size, clone: Path) -> None:
    """Write weights, cameras, image and prompt, and the noise that the released program will draw."""
    latents = chunks * CHUNK_FRAMES
    random = np.random.default_rng(0)
    yaw = np.cumsum(random.uniform(0.02, 0.2, frames_of(latents)) * np.sin(np.arange(frames_of(latents)) / 9))
    poses = np.tile(np.eye(4), (len(yaw), 1, 1))
    poses[:, 0, 0] = poses[:, 2, 2] = np.cos(yaw)
    poses[:, 0, 2], poses[:, 2, 0] = np.sin(yaw), -np.sin(yaw)
    poses[:, :3, 3] = np.cumsum(random.normal(size=(len(yaw), 3)), axis=0) / 50
    np.save(place.scratch / "poses.npy", poses)
    np.save(place.scratch / "intrinsics.npy", np.tile(np.float32(DEFAULT_INTRINSICS), (len(yaw), 1)))
    cells = (LATENT_CHANNELS, latents, size.rows, size.columns)
    np.save(place.scratch / "image.npy", random.normal(size=cells).astype(np.float32))

    generator = torch.Generator().manual_seed(0)
    noises = [torch.randn(cells, generator=generator).unflatten(1, (chunks, CHUNK_FRAMES)).movedim(1, 0)[:, None]]
    steps = lingbot_schedule().steps - 1
    part = (LATENT_CHANNELS, CHUNK_FRAMES, size.rows, size.columns)
    later = [[torch.randn(part, generator=generator) for _ in range(steps)] for _ in range(chunks)]
    noises.append(torch.stack([torch.stack(row) for row in later]))
    np.save(place.scratch / "noise.npy", torch.cat(noises, dim=1).movedim(2, -1).numpy())

    torch.manual_seed(0)
    model = _import(clone).WanModelFast(
        model_type="i2v",
        in_dim=36,
        dim=size.dim,
        ffn_dim=size.ffn_dim,
        num_heads=size.heads,
        num_layers=size.layers,
    )
    torch.nn.init.normal_(model.head.head.weight, std=size.dim**-0.5)  # else it predicts zeros
    model.save_pretrained(place.scratch / DIT.files[0])
    prompt = random.normal(size=(PROMPT_ROWS, model.text_embedding[0].in_features))
    np.save(place.scratch / "prompt.npy", prompt.astype(np.float32))


def _open_ours(place: Place, chunks: int, size: Size, flags: Mapping[str, Any]) -> Work:
    config, params = load_params(place.scratch, DIT, dtype=jnp.float32)
    config = dataclasses.replace(config, dtype="float32")
    backbone = LingBotWorld(config=config, rows=size.rows, columns=size.columns)
    read = {
        name: np.load(place.scratch / f"{name}.npy") for name in ("poses", "intrinsics", "image", "prompt", "noise")
    }
    poses = latent_poses(read["poses"], chunks * CHUNK_FRAMES)
    video = (size.rows * CELL, size.columns * CELL)
    lens = make_lens(video, scale=motion_scale(poses), intrinsics=read["intrinsics"])
    image = mask_first(jnp.asarray(np.moveaxis(read["image"], 0, -1))[None])
    prompt = jnp.zeros((1, config.text_rows, config.text_dim)).at[0, :PROMPT_ROWS].set(read["prompt"])
    given = [Given(lens, part, prompt) for part in jnp.split(image, chunks, axis=1)]
    inputs = iter(chunk_inputs(poses, backbone.spec, conditions=given))
    noise = iter(read["noise"][:, :, None])
    weights = WanParams(params, None)
    world = start(backbone, weights, released_memory(**flags, sink_size=config.sink_frames), chunks=chunks)

    def advance() -> np.ndarray:
        nonlocal world
        made, world = generate_chunk(backbone, weights, world, next(inputs), jnp.asarray(next(noise)))
        jax.block_until_ready(world)
        return np.moveaxis(np.asarray(made.latents[0]), -1, 0)

    return advance


def _open_theirs(place: Place, chunks: int, size: Size, flags: Mapping[str, Any], clone: Path) -> Work:
    """Run the released `generate`, with text encoder, VAE and image reader of another making and all else its own."""
    program = _import(clone)
    model = program.WanModelFast.from_pretrained(place.scratch, subfolder=DIT.files[0], low_cpu_mem_usage=False).eval()
    made: list[np.ndarray] = []
    model.register_forward_pre_hook(lambda _, args, given: made.append(given["x"][0].numpy()), with_kwargs=True)
    image, prompt = (torch.from_numpy(np.load(place.scratch / f"{name}.npy")) for name in ("image", "prompt"))

    world = program.WanI2VFast.__new__(program.WanI2VFast)
    world.device, world.rank, world.sp_size = torch.device("cpu"), 0, 1
    world.param_dtype = world.pipe_dtype = torch.float32
    world.control_type, world.t5_cpu = "cam", True
    world.vae_stride, world.patch_size, world.num_train_timesteps = (4, CELL, CELL), (1, 2, 2), 1000
    world.text_encoder = lambda prompts, device: [prompt]
    world.vae = types.SimpleNamespace(encode=lambda videos: [image], decode=lambda latents: latents)
    world.model = model
    world.scheduler = program.FlowUniPCMultistepScheduler(shift=1, use_dynamic_shifting=False)
    program.TF = types.SimpleNamespace(to_tensor=torch.clone)
    height, width = size.rows * CELL, size.columns * CELL
    turns = Turns(
        lambda: world.generate(
            "",
            torch.zeros(3, height, width),
            action_path=str(place.scratch),
            max_area=height * width + 1,  # its root is rounded down
            frame_num=frames_of(chunks * CHUNK_FRAMES),
            shift=SHIFT,
            seed=0,
            offload_model=False,
            **flags,
        )
    )
    program.tqdm = turns.loop

    return lambda: turns.take_last(made)  # what the clean pass was given


def _import(clone: Path) -> types.ModuleType:
    packages = ("wan", "wan.modules", "wan.distributed", "wan.utils")
    unused = ("wan.modules.t5", "wan.modules.vae2_1", "torchvision", "torchvision.transforms")
    unused += ("torchvision.transforms.functional",)
    (program,) = import_clone(clone, packages, ("wan.image2video_fast",), unused=unused)
    return program
