"""From the words of a command line to a rollout of Matrix-Game 2.0 whose every input is checked."""

import argparse
import dataclasses
import functools
import re
import sys

import numpy as np

from checkpoints.weights import open_weights
from ports.matrix_game2 import conditioning
from ports.matrix_game2.action_sources import LIVE, read_actions, typed
from ports.matrix_game2.actions import Rows, chunks_of_rows
from ports.matrix_game2.backbone import MatrixGame2
from ports.matrix_game2.checkpoint import dit_component
from ports.matrix_game2.config import TINY, MatrixGameConfig
from ports.matrix_game2.cost import matrix_game_cost
from ports.matrix_game2.loading import Job, load
from ports.matrix_game2.memories import WHY_OFF, default_memory, native_memory
from ports.matrix_game2.play import Source
from ports.matrix_game2.variants import TEMPLERUN, Variant, variant_named
from ports.wan.autoencoders import taehv, wan_vae
from ports.wan.encoders import clip
from ports.wan.latents import CELL
from ports.wan.nn.patches import PATCH
from worldkv_jax.cameras.actions import MotionUnits
from worldkv_jax.memory import MemoryConfig
from worldkv_jax.rollout.request import Request

TINY_SIZE = (64, 96)
"""Pixels of a tiny model's video."""
_SIZES = ("dim", "ffn_dim", "heads", "layers", "frequency_dim", "image_dim", "keyboard_dim")
_ACTION_SIZES = ("action_layers", "action_heads", "action_head_dim", "dtype")


def make_request(args: argparse.Namespace, memory: MemoryConfig | None) -> Request:
    """Check what was asked for; reads heads of files, but no weights, and allocates nothing on a device.

    Args:
        args: of `ports.matrix_game2.command`; a plan needs no files, nor do random weights.
        memory: the memory that was asked for; ``None`` for the variant's own.

    Raises:
        OSError: a file is missing.
        ValueError: something is not as it has to be; the text says what to give.
    """
    random = args.random_weights or args.tiny
    variant = variant_named(args.variant)
    _check_given(args, without_files=random or getattr(args, "command", None) == "plan")
    rows, columns = _latent_size(args)
    actions, chunks = _actions(args, variant)
    pictures = _pictures(args, rows * CELL, columns * CELL)
    worlds = _worlds(pictures, actions)
    config, coder, tower, decoder = _networks(args, variant)
    backbone = MatrixGame2(config=config, rows=rows, columns=columns, schedule=variant.schedule, vae=decoder)
    units = _units(args)
    memory = _memory(args, memory, variant, config, chunks)
    decodes = not getattr(args, "no_decode", False)
    job = Job(
        backbone=backbone,
        variant=variant,
        coder=coder,
        tower=tower,
        pictures=pictures,
        actions=actions,
        worlds=worlds,
        chunks=chunks,
        units=units,
        ckpt=args.ckpt,
        decodes=decodes,
    )
    _tell(memory, variant, units)
    return Request(
        backbone=backbone,
        memory=memory,
        chunks=chunks,
        worlds=worlds,
        fps=args.fps,
        cost=matrix_game_cost(backbone, coder, tower, worlds=worlds, decodes=decodes),
        load=functools.partial(load, job),
        random_weights=random,
        summary=_summary(args, job),
    )


def _check_given(args: argparse.Namespace, *, without_files: bool) -> None:
    if (args.random_weights or args.tiny) and args.ckpt is not None:
        raise ValueError("--ckpt excludes --random-weights and --tiny; give one of them")
    missing = [f"--{name}" for name in ("ckpt", "image", "actions") if getattr(args, name) is None]
    if missing and not without_files:
        raise ValueError(f"{', '.join(missing)} missing; or give --random-weights or --tiny, which need no file")
    if args.chunks is not None and args.chunks < 1:
        raise ValueError(f"--chunks {args.chunks} must be at least 1")
    if not 0 < args.fps < 1000:
        raise ValueError(f"--fps {args.fps:g} must be a positive number of frames a second")


def _latent_size(args: argparse.Namespace) -> tuple[int, int]:
    if args.size is None:
        height, width = TINY_SIZE if args.tiny else (conditioning.HEIGHT, conditioning.WIDTH)
        return height // CELL, width // CELL
    found = re.fullmatch(r"([1-9]\d{0,4})[*x]([1-9]\d{0,4})", args.size)
    if found is None:
        raise ValueError(f"--size {args.size!r}: expected height and width in pixels, such as 352x640")
    size, step = (int(found[1]), int(found[2])), CELL * PATCH
    if any(pixels % step for pixels in size):
        near = "x".join(str(max(1, round(pixels / step)) * step) for pixels in size)
        raise ValueError(f"--size {args.size} is not in multiples of {step} pixels; give {near}, say")
    return size[0] // CELL, size[1] // CELL


def _actions(args: argparse.Namespace, variant: Variant) -> tuple[list[Rows] | Source, int]:
    """Read the actions of each world, all for the same number of chunks; or who is to be asked for them."""
    given = args.actions or [variant.tour]
    if LIVE in given:
        if len(given) > 1:
            raise ValueError(f"--actions {LIVE} types the actions of all worlds; leave the other --actions out")
        if args.chunks is None:
            raise ValueError(f"--actions {LIVE} needs --chunks: how many chunks there may be, for which there is room")
        return typed(variant, args.chunks), args.chunks
    worlds = [read_actions(variant, text, chunks=args.chunks) for text in given]
    lengths = sorted({chunks_of_rows(len(rows.keyboard)) for rows in worlds})
    if len(lengths) > 1:
        raise ValueError(f"--actions are for different numbers of chunks, {lengths}; say how many with --chunks")
    return worlds, lengths[0]


def _pictures(args: argparse.Namespace, height: int, width: int) -> np.ndarray | None:
    if not args.image:
        return None
    return np.stack([conditioning.fit_picture(conditioning.read_image(path), height, width) for path in args.image])


def _worlds(pictures: np.ndarray | None, actions: list[Rows] | Source) -> int:
    """Count the worlds of the batch: one picture may serve many actions, and the other way round."""
    counts = [1 if pictures is None else len(pictures), 1 if callable(actions) else len(actions)]
    if min(counts) > 1 and counts[0] != counts[1]:
        raise ValueError(f"{counts[0]} pictures but {counts[1]} actions; give as many, or one of either for all worlds")
    return max(counts)


def _networks(
    args: argparse.Namespace, variant: Variant
) -> tuple[MatrixGameConfig, wan_vae.VAEConfig, clip.CLIPConfig, wan_vae.VAEConfig | taehv.TAEHVConfig]:
    """Return the sizes of transformer, encoding VAE, CLIP and decoder; of a checkpoint read from its files."""
    precise = args.decoder_dtype or ("float32" if args.dtype == "float32" or args.tiny else "float16")
    if args.tiny:
        config = variant.configure(**{name: getattr(TINY, name) for name in (*_SIZES, *_ACTION_SIZES)})
        coder, tiny_decoder = wan_vae.VAEConfig(dim=4), taehv.TAEHVConfig(encoder_width=4, decoder_widths=(8, 8, 4, 4))
        tower = clip.CLIPConfig(image_size=28, dim=config.image_dim, heads=2, layers=2, mlp_dim=32, out_dim=8)
    elif args.ckpt is None:
        config, coder = variant.configure(dtype=args.dtype), wan_vae.VAEConfig()
        tower, tiny_decoder = clip.CLIPConfig(), taehv.TAEHVConfig()
    else:
        found = open_weights(args.ckpt, dit_component(variant)).config
        config = dataclasses.replace(found, dtype=args.dtype)
        coder, tower = (open_weights(args.ckpt, part).config for part in (wan_vae.COMPONENT, clip.COMPONENT))
        tiny_decoder = open_weights(args.ckpt, taehv.COMPONENT).config if args.decoder == "taehv" else None
        if tower.dim != config.image_dim:
            raise ValueError(
                f"CLIP in {args.ckpt} makes tokens of {tower.dim} numbers, but the transformer reads {config.image_dim}"
            )
    decoder = coder if args.decoder == "vae" else tiny_decoder
    return config, coder, tower, dataclasses.replace(decoder, compute_dtype=precise)


def _units(args: argparse.Namespace) -> MotionUnits:
    given = {"degrees_per_mouse_unit": args.degrees_per_mouse_unit, "step": args.step}
    given = {name: value for name, value in given.items() if value is not None}
    if "step" in given:
        given["diagonal_step"] = given["step"] * MotionUnits.diagonal_step / MotionUnits.step
    return MotionUnits(**given, calibrated=bool(given))


def _memory(
    args: argparse.Namespace, memory: MemoryConfig | None, variant: Variant, config: MatrixGameConfig, chunks: int
) -> MemoryConfig:
    if memory is None:
        return default_memory(variant, chunks=chunks)
    if memory.mode == "sliding" and not hasattr(args, "recent"):
        return native_memory(config)
    return memory


def _tell(memory: MemoryConfig, variant: Variant, units: MotionUnits) -> None:
    """Say what one would not expect."""
    if memory.mode == "worldkv" and not units.calibrated:
        print(
            "note: how far an action moves the camera is not published for this model; the numbers are those of a "
            "sibling (--degrees-per-mouse-unit and --step change them)",
            file=sys.stderr,
        )
    if variant == TEMPLERUN and memory == native_memory(variant.configure()):
        print(f"note: {variant.name} has its native window: {WHY_OFF} (--memory worldkv)", file=sys.stderr)


def _summary(args: argparse.Namespace, job: Job) -> dict:
    backbone = job.backbone
    return {
        "variant": job.variant.name,
        "weights": args.ckpt or "random",
        "image": args.image,
        "actions": args.actions or [job.variant.tour],
        "worlds": job.worlds,
        "height": backbone.rows * CELL,
        "width": backbone.columns * CELL,
        "decoder": args.decoder,
        "decoder_dtype": backbone.vae.compute_dtype,
        "units": dataclasses.asdict(job.units),
        "first_affected_frame": "the first of the chunk for which an action is given",
        "model": dataclasses.asdict(backbone.config),
    }
