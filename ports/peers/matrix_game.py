"""Chunks of Matrix-Game 2.0 beside the released pipeline: its `inference` itself, of a small model on a CPU."""

import dataclasses
import types
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.torch
import torch

from checkpoints.restore import load_params
from ports.matrix_game2.actions import action_windows
from ports.matrix_game2.backbone import Given, MatrixGame2
from ports.matrix_game2.checkpoint import dit_component
from ports.matrix_game2.memories import native_memory
from ports.matrix_game2.schedule import SHIFT
from ports.matrix_game2.variants import UNIVERSAL
from ports.peers.upstream import Turns, after, import_clone, on_cpu
from ports.wan.backbone import WanParams
from ports.wan.latents import CHUNK_FRAMES, LATENT_CHANNELS, frames_of
from worldkv_jax.benchmarks.pairs import Pair, Place, Work
from worldkv_jax.rollout import ChunkInput, generate_chunk, start

FILE = "pipeline/causal_inference.py"
FIRST = 2
"""Chunks that are made before the first that is compared: from there on the window is full."""
ROWS, COLUMNS, DIM, HEADS = 44, 80, 1536, 12
"""Of latents and of the model, as released: the pipeline knows no others."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Size:
    """Of the model."""

    ffn_dim: int = 2048
    layers: int = 2
    action_layers: int = 1


def compare(place: Place, size: Size = Size()) -> Pair:
    """Generate one chunk after the other, in the native window."""
    clone = place.clone_with(FILE, "Matrix-Game 2.0 (SkyworkAI/Matrix-Game, folder Matrix-Game-2)")
    chunks = FIRST + 1 + place.rounds
    if not (place.scratch / "given.npz").exists():
        _write(place, chunks, size, clone)
    tokens = CHUNK_FRAMES * ROWS * COLUMNS // 4
    return Pair(
        what=f"chunk {FIRST} and on, {tokens} tokens each, width {DIM}, {size.layers} layers, float32",
        ours=lambda: after(FIRST, _open_ours(place, chunks)),
        theirs=lambda: after(FIRST, _open_theirs(place, size, clone)),
        tolerance=1e-3,
    )


def _write(place: Place, chunks: int, size: Size, clone: Path) -> None:
    """Write weights, image, actions and noise, in the released order of axes."""
    frames, random = chunks * CHUNK_FRAMES, np.random.default_rng(0)

    def draw(*shape: int) -> np.ndarray:
        return random.normal(size=shape).astype(np.float32)

    image = draw(1, 4 + LATENT_CHANNELS, frames, ROWS, COLUMNS)
    image[:, :4] = np.arange(frames)[:, None, None] == 0
    later = draw(chunks, UNIVERSAL.schedule.steps - 1, CHUNK_FRAMES, LATENT_CHANNELS, ROWS, COLUMNS)
    np.savez(
        place.scratch / "given.npz",
        image=image,
        tokens=draw(1, 257, 1280),
        keyboard=(draw(1, frames_of(frames), len(UNIVERSAL.columns)) > 0).astype(np.float32),
        mouse=0.1 * draw(1, frames_of(frames), 2),
        noise=draw(1, LATENT_CHANNELS, frames, ROWS, COLUMNS),
        later=later,
    )
    torch.manual_seed(0)
    generator = _make(_import(clone)[0], size)
    for name, parameter in generator.named_parameters():
        if name.endswith(("head.head.weight", "proj_mouse.weight", "proj_keyboard.weight")):  # begin as zeros
            torch.nn.init.normal_(parameter, std=parameter.shape[1] ** -0.5)
    file = place.scratch / UNIVERSAL.checkpoint
    file.parent.mkdir()
    safetensors.torch.save_file(generator.state_dict(), file)


def _open_ours(place: Place, chunks: int) -> Work:
    config, params = load_params(place.scratch, dit_component(UNIVERSAL), dtype=jnp.float32)
    config, weights = dataclasses.replace(config, dtype="float32"), WanParams(params, None)
    backbone = MatrixGame2(config=config, rows=ROWS, columns=COLUMNS, schedule=UNIVERSAL.schedule)
    given = np.load(place.scratch / "given.npz")
    image, noise = (jnp.asarray(np.moveaxis(given[name], 1, -1)) for name in ("image", "noise"))
    later = jnp.asarray(np.moveaxis(given["later"], 3, -1))
    cameras = jnp.broadcast_to(jnp.eye(4), (1, CHUNK_FRAMES, 4, 4))
    world = start(backbone, weights, native_memory(config), chunks=chunks)
    order = iter(range(chunks))

    def advance() -> np.ndarray:
        nonlocal world
        chunk = next(order)
        frames = range(chunk * CHUNK_FRAMES, (chunk + 1) * CHUNK_FRAMES)
        part = slice(frames.start, frames.stop)
        keyboard, mouse = (jnp.asarray(action_windows(given[name][0], frames))[None] for name in ("keyboard", "mouse"))
        conditions = Given(keyboard=keyboard, mouse=mouse, image=image[:, part], tokens=jnp.asarray(given["tokens"]))
        drawn = jnp.concatenate([noise[None, :, part], later[chunk][:, None]])
        made, world = generate_chunk(backbone, weights, world, ChunkInput(cameras, conditions), drawn)
        jax.block_until_ready(world)
        return np.moveaxis(np.asarray(made.latents), -1, 1)

    return advance


def _open_theirs(place: Place, size: Size, clone: Path) -> Work:
    """Run the released `inference`, with noise that is given and nothing decoded."""
    given = {name: torch.from_numpy(array) for name, array in np.load(place.scratch / "given.npz").items()}
    wrapper, program = _import(clone)
    generator = _make(wrapper, size)
    generator.load_state_dict(safetensors.torch.load_file(place.scratch / UNIVERSAL.checkpoint))
    made: list[np.ndarray] = []
    generator.register_forward_pre_hook(
        lambda _, args, given: made.append(given["noisy_image_or_video"].numpy()), with_kwargs=True
    )
    noise, add_noise = iter(given["later"].flatten(0, 1)), generator.scheduler.add_noise
    generator.scheduler.add_noise = lambda clean, drawn, time: add_noise(clean, next(noise), time)

    steps = types.SimpleNamespace(
        denoising_step_list=list(UNIVERSAL.steps),
        warp_denoising_step=True,
        num_frame_per_block=CHUNK_FRAMES,
        context_noise=0,
    )
    world = program.CausalInferencePipeline(steps, generator, vae_decoder=lambda latents, *cache: (latents, cache))
    world.num_transformer_blocks = size.layers
    conditions = {
        "cond_concat": given["image"],
        "visual_context": given["tokens"],
        "mouse_cond": given["mouse"],
        "keyboard_cond": given["keyboard"],
    }
    turns = Turns(torch.no_grad()(lambda: world.inference(given["noise"], conditions)))
    program.tqdm = turns.loop

    return lambda: turns.take_last(made)  # what the clean pass was given


def _make(wrapper: types.ModuleType, size: Size):
    """Make the released generator, with weights of its own."""
    actions = {
        "blocks": list(range(size.action_layers)),
        "img_hidden_size": DIM,
        "keyboard_dim_in": len(UNIVERSAL.columns),
        "mouse_dim_in": 2,
        "mouse_hidden_dim": 1024,
        "mouse_qk_dim_list": [8, 28, 28],
    }
    config = {
        "model_type": "i2v",
        "dim": DIM,
        "num_heads": HEADS,
        "ffn_dim": size.ffn_dim,
        "num_layers": size.layers,
        "local_attn_size": UNIVERSAL.window_frames,
        "action_config": actions,
    }
    with on_cpu():  # its rotary table asks for a CUDA device
        return wrapper.WanDiffusionWrapper(config, timestep_shift=SHIFT).eval()


def _import(clone: Path) -> list[types.ModuleType]:
    packages = ("wan", "wan.modules", "utils", "demo_utils", "pipeline")
    return import_clone(clone, packages, ("utils.wan_wrapper", FILE.removesuffix(".py").replace("/", ".")))
