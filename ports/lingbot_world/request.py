"""From the words of a command line to a rollout of LingBot-World-Fast whose every input is checked."""

import argparse
import dataclasses
import functools
import re
import sys

import numpy as np

from checkpoints.weights import open_weights
from ports.lingbot_world.backbone import LingBotWorld
from ports.lingbot_world.camera_folder import CameraPath, read_path
from ports.lingbot_world.checkpoint import DIT
from ports.lingbot_world.command import IGNORED_FLAGS, MEMORY_FLAGS
from ports.lingbot_world.conditioning import Length, latent_size, rollout_length
from ports.lingbot_world.config import LingBotConfig
from ports.lingbot_world.cost import lingbot_cost
from ports.lingbot_world.inputs import Inputs, check_parts, check_prompt, is_embedding, read_config, read_image
from ports.lingbot_world.loading import draw, load
from ports.lingbot_world.released_flags import check_released_window, released_memory
from ports.lingbot_world.schedule import lingbot_schedule
from ports.wan.autoencoders import wan_vae
from ports.wan.encoders import umt5
from ports.wan.latents import CELL
from ports.wan.nn.patches import PATCH
from worldkv_jax.cli.memory_flags import BANK_FLAGS
from worldkv_jax.memory import DEFAULT, MemoryConfig
from worldkv_jax.rollout.request import Request

FPS = 16.0
"""Frames a second of the released videos."""
HEAD_DIM = 128
TOUR = "R_L_R_L_R_L90"
"""Camera moves where none are given and none are needed: those of WorldKV's own example."""


def make_request(args: argparse.Namespace, memory: MemoryConfig | None) -> Request:
    """Check what was asked for; reads heads of files, but no weights, and allocates nothing on a device.

    Args:
        args: of `ports.lingbot_world.command`; a plan needs no files, nor do random weights.
        memory: the memory that was asked for with this program's own options.

    Raises:
        OSError: a file is missing.
        ValueError: something is not as it has to be; the text says what to give.
    """
    without_files = args.random_weights or getattr(args, "command", None) == "plan"
    _check_given(args, without_files=without_files)
    reads_text = not args.random_weights and not is_embedding(args.prompt or "")
    if args.ckpt is not None:
        others = [] if without_files else [wan_vae.COMPONENT, *([umt5.COMPONENT] if reads_text else [])]
        check_parts(args.ckpt, [DIT, *others])
    config = _config(args)
    image = None if args.image is None else read_image(args.image)
    rows, columns = _latent_size(args, image)
    path, length = _path(args, config)
    memory = _memory(args, memory, config, length)
    check_released_window(memory, length.latents)
    coder = wan_vae.VAEConfig() if without_files else open_weights(args.ckpt, wan_vae.COMPONENT).config
    if args.prompt is not None:
        check_prompt(args.prompt, None if without_files else args.ckpt, config)
    backbone = LingBotWorld(
        config=config, rows=rows, columns=columns, schedule=lingbot_schedule(shift=args.shift), vae=coder
    )
    inputs = Inputs(
        backbone=backbone,
        path=path,
        length=length,
        scale=args.translation_scale,
        image=image,
        prompt=args.prompt,
        ckpt=args.ckpt,
        decodes=not getattr(args, "no_decode", False),
    )
    return Request(
        backbone=backbone,
        memory=memory,
        chunks=length.chunks,
        fps=FPS,
        cost=lingbot_cost(backbone, encodes_text=reads_text, decodes=inputs.decodes),
        load=functools.partial(draw if args.random_weights else load, inputs),
        random_weights=args.random_weights,
        summary=_summary(args, inputs),
    )


def _check_given(args: argparse.Namespace, *, without_files: bool) -> None:
    if args.random_weights and args.ckpt is not None:
        raise ValueError("--random-weights and --ckpt exclude each other; give one of them")
    missing = [f"--{name}" for name in ("ckpt", "image", "prompt", "trajectory") if getattr(args, name) is None]
    if missing and not without_files:
        raise ValueError(f"{', '.join(missing)} missing; or give --random-weights, which measures without any file")
    sizes = [f"--{name}" for name in ("dim", "layers") if getattr(args, name) is not None]
    if sizes and args.ckpt is not None:
        raise ValueError(f"{' and '.join(sizes)} would change the size of a checkpoint; leave them out with --ckpt")
    if args.translation_scale is not None and not 0 < args.translation_scale < np.inf:
        raise ValueError(f"--translation-scale {args.translation_scale} must be a positive number of scene units")
    ignored = [flag for flag in IGNORED_FLAGS if hasattr(args, flag[2:])]
    if ignored:
        print(f"ignored, for they only tell PyTorch how to run: {', '.join(ignored)}", file=sys.stderr)


def _config(args: argparse.Namespace) -> LingBotConfig:
    if args.ckpt is not None:
        config = read_config(args.ckpt, args.dtype)
        if args.control not in (None, config.control):
            raise ValueError(
                f"--control {args.control}, but the checkpoint in {args.ckpt} has control {config.control}"
            )
        return config
    sizes = {"control": args.control or "cam", "dtype": args.dtype}
    if args.dim is not None:
        if args.dim < HEAD_DIM or args.dim % HEAD_DIM:
            raise ValueError(f"--dim {args.dim} is not a multiple of {HEAD_DIM}, the width of a head")
        full = LingBotConfig
        sizes |= {"dim": args.dim, "heads": args.dim // HEAD_DIM, "ffn_dim": args.dim * full.ffn_dim // full.dim}
    if args.layers is not None:
        if args.layers < 1:
            raise ValueError(f"--layers {args.layers} must be at least 1")
        sizes["layers"] = args.layers
    return LingBotConfig(**sizes)


def _latent_size(args: argparse.Namespace, image: np.ndarray | None) -> tuple[int, int]:
    if args.resolution is None:
        height, width = _size("--size", args.size)
        return latent_size((height, width) if image is None else image.shape[:2], height * width)
    size, step = _size("--resolution", args.resolution), CELL * PATCH
    if any(pixels % step for pixels in size):
        near = "x".join(str(max(1, round(pixels / step)) * step) for pixels in size)
        raise ValueError(f"--resolution {args.resolution} is not in multiples of {step} pixels; give {near}, say")
    return size[0] // CELL, size[1] // CELL


def _size(flag: str, text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([1-9]\d{0,4})[*x]([1-9]\d{0,4})", text)
    if found is None:
        raise ValueError(f"{flag} {text!r}: expected height and width in pixels, such as 480*832")
    return int(found[1]), int(found[2])


def _path(args: argparse.Namespace, config: LingBotConfig) -> tuple[CameraPath, Length]:
    if args.frames is not None and args.frames < 1:
        raise ValueError(f"--frames {args.frames} must be at least 1")
    given = args.trajectory or TOUR
    if config.control == "act" and args.trajectory is None:
        track = read_path(given, "cam", frames=args.frames).track
        path = CameraPath(track, np.zeros((len(track), 4)))
    else:
        path = read_path(given, config.control, frames=args.frames)
    return path, rollout_length(args.frames or len(path.track), len(path.track))


def _memory(
    args: argparse.Namespace, memory: MemoryConfig | None, config: LingBotConfig, length: Length
) -> MemoryConfig:
    """Choose between the flags of the released program, this program's own, and the default."""
    released = {flag[2:]: getattr(args, flag[2:]) for flag in MEMORY_FLAGS if hasattr(args, flag[2:])}
    if not released:
        return _default_memory(length) if memory is None else memory
    chosen = released_memory(**released, sink_size=config.sink_frames)
    if memory is None:
        return chosen
    only_bank = memory.bank is not None and memory == dataclasses.replace(DEFAULT, bank=memory.bank)
    if chosen.bank is None or not only_bank:
        raise ValueError(
            f"--{', --'.join(released)} come from the released program and already choose the memory; of this "
            "program's own options only those of the bank go with them (--tier, --storage, --capacity, --when-full)"
        )
    bank = {name: getattr(args, name) for name in BANK_FLAGS if hasattr(args, name)}
    return dataclasses.replace(chosen, bank=dataclasses.replace(chosen.bank, **bank))


def _default_memory(length: Length) -> MemoryConfig:
    """Return the default, which retrieves no more chunks than a short rollout ever stores."""
    stored = max(1, length.chunks - 1)
    retrieval = dataclasses.replace(DEFAULT.retrieval, chunks=min(DEFAULT.retrieval.chunks, stored))
    return dataclasses.replace(DEFAULT, retrieval=retrieval)


def _summary(args: argparse.Namespace, inputs: Inputs) -> dict:
    backbone = inputs.backbone
    return {
        "weights": "random" if args.random_weights else args.ckpt,
        "image": args.image,
        "prompt": args.prompt,
        "trajectory": args.trajectory or TOUR,
        "frames": inputs.length.frames,
        "height": backbone.rows * CELL,
        "width": backbone.columns * CELL,
        "shift": args.shift,
        "model": dataclasses.asdict(backbone.config),
    }
