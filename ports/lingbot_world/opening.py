"""From options to a session of LingBot-World-Fast: every input checked, no weight read."""

import dataclasses
import functools
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from checkpoints.weights import open_weights
from ports.lingbot_world.backbone import LingBotWorld
from ports.lingbot_world.camera_folder import CameraPath, read_path
from ports.lingbot_world.checkpoint import DIT
from ports.lingbot_world.config import MAPS, TINY, LingBotConfig
from ports.lingbot_world.cost import lingbot_cost
from ports.lingbot_world.loading import Program
from ports.lingbot_world.released_flags import check_released_window, choose_released
from ports.lingbot_world.schedule import lingbot_schedule
from ports.lingbot_world.size import Length, latent_size, rollout_length
from ports.wan.autoencoders import wan_vae
from ports.wan.encoders import umt5
from ports.wan.encoders.prompts import is_embedding
from ports.wan.latents import CELL
from ports.wan.program.coders import decoder_config
from ports.wan.program.counts import check_count
from ports.wan.program.frame_size import lies_differently, read_size
from ports.wan.program.prompt import Prompt
from ports.wan.program.shared_options import LIVE
from ports.wan.program.weights import check_offload, check_parts, choose_weights
from worldkv_jax.media import read_picture
from worldkv_jax.memory import DEFAULT, MemoryConfig
from worldkv_jax.names import check_name
from worldkv_jax.sessions import MemoryOptions, Session, choose_memory

if typing.TYPE_CHECKING:
    from ports.lingbot_world.options import LingBotOptions

FPS = 16.0
"""Frames a second of the released videos."""
HEAD_DIM = 128
TOUR = "R_L_R_L_R_L90"
"""Camera moves where none are given and none are needed: those of WorldKV's own example."""
TINY_SIZE = (64, 96)
"""Pixels of a tiny model's video."""
TINY_VAE = wan_vae.VAEConfig(dim=4)


def open_session(
    options: "LingBotOptions", memory: MemoryConfig | MemoryOptions | None, *, weights: bool, decode: bool
) -> Session:
    """Check what was asked for, see `worldkv_jax.sessions.ModelOptions.check`."""
    random = options.random_weights or options.tiny
    has_files = weights and not random
    _check_given(options, has_files=has_files)
    reads_text = not random and not is_embedding(options.prompt or "")
    if options.ckpt is not None:
        others = [wan_vae.COMPONENT, *([umt5.COMPONENT] if reads_text else [])] if has_files else []
        check_parts(options.ckpt, [DIT, *others])
    config, rounds = choose_weights(_config(options), options.weights)
    offload = check_offload(config, options.offload)
    ckpt = options.ckpt if has_files else None
    prompt = Prompt.check(
        options.prompt,
        dim=config.text_dim,
        rows=config.text_rows,
        dtype=config.dtype,
        ckpt=None if ckpt is None else Path(ckpt),
        encoder=umt5.COMPONENT,
    )
    notes: list[str] = []
    image = None if options.image is None else read_picture(options.image, tell=notes.append)
    rows, columns = _latent_size(options, image)
    path, length = _path(options, config, tell=notes.append)
    if options.frames is not None and length.frames < options.frames:
        poses = "" if path is None else f", along {len(path.track)} poses"
        notes.append(f"the video has {length.frames} frames and not {options.frames}: whole chunks{poses}")
    if image is not None and options.resolution is not None:
        notes += lies_differently("resolution", (rows, columns), image.shape[:2])
    chosen = choose_released(options.released, memory, sink_size=config.sink_frames)
    chosen = choose_memory(memory, DEFAULT.fitted(length.chunks)) if chosen is None else chosen
    check_released_window(chosen, length.latents)
    if ckpt is not None:
        coder = open_weights(ckpt, wan_vae.COMPONENT).config
    else:
        coder = TINY_VAE if options.tiny else wan_vae.VAEConfig()
    backbone = LingBotWorld(
        config=config,
        rows=rows,
        columns=columns,
        schedule=lingbot_schedule(shift=options.shift).fewer_passes(options.steps, options.commit),
        vae=decoder_config(options.decoder, coder, ckpt=ckpt, tiny=options.tiny),
    )
    program = Program(
        backbone=backbone,
        coder=coder,
        path=path,
        length=length,
        scale=options.translation_scale,
        image=image,
        prompt=prompt,
        ckpt=None if random else options.ckpt,
        offload=offload,
        decodes=decode,
    )
    return Session(
        model="lingbot-world-fast",
        backbone=backbone,
        memory=chosen,
        chunks=length.chunks,
        fps=FPS,
        count_cost=functools.partial(
            lingbot_cost, backbone, coder, encodes_text=reads_text, rounds=rounds, offload=offload, decodes=decode
        ),
        loader=program.load,
        random_weights=random,
        decode=decode,
        summary=_summary(options, backbone, length),
        notes=tuple(notes),
    )


def _check_given(options: "LingBotOptions", *, has_files: bool) -> None:
    if (options.random_weights or options.tiny) and options.ckpt is not None:
        given = "random_weights" if options.random_weights else "tiny"
        raise ValueError(f"`{given}` and `ckpt` exclude each other; give one of them")
    missing = [f"`{name}`" for name in ("ckpt", "image", "prompt", "trajectory") if getattr(options, name) is None]
    if missing and has_files:
        raise ValueError(f"{', '.join(missing)} missing; or give `random_weights`, which measures without any file")
    sizes = [f"`{name}`" for name in ("dim", "layers") if getattr(options, name) is not None]
    if sizes and options.ckpt is not None:
        raise ValueError(f"{' and '.join(sizes)} would change the size of a checkpoint; leave them out with `ckpt`")
    check_count("frames", options.frames)
    scale = options.translation_scale
    if scale is not None and not 0 < scale < np.inf:
        raise ValueError(f"`translation_scale` {scale} must be a positive number of scene units")


def _config(options: "LingBotOptions") -> LingBotConfig:
    if options.ckpt is not None:
        config = dataclasses.replace(open_weights(options.ckpt, DIT).config, dtype=options.dtype)
        if options.control not in (None, config.control):
            raise ValueError(
                f"`control` {options.control}, but the checkpoint in {options.ckpt} has control {config.control}"
            )
        return config
    control = check_name("control", options.control or "cam", MAPS)
    if options.tiny:
        return dataclasses.replace(TINY, control=control)
    sizes: dict[str, Any] = {}
    if options.dim is not None:
        if options.dim < HEAD_DIM or options.dim % HEAD_DIM:
            raise ValueError(f"`dim` {options.dim} is not a multiple of {HEAD_DIM}, the width of a head")
        full = LingBotConfig
        ffn_dim = options.dim * full.ffn_dim // full.dim
        sizes |= {"dim": options.dim, "heads": options.dim // HEAD_DIM, "ffn_dim": ffn_dim}
    if options.layers is not None:
        if options.layers < 1:
            raise ValueError(f"`layers` {options.layers} must be at least 1")
        sizes["layers"] = options.layers
    return LingBotConfig(control=control, dtype=options.dtype, **sizes)


def _latent_size(options: "LingBotOptions", image: np.ndarray | None) -> tuple[int, int]:
    if options.resolution is not None:
        height, width = read_size("resolution", options.resolution, like="480x832")
        return height // CELL, width // CELL
    height, width = TINY_SIZE if options.tiny else read_size("size", options.size, like="480*832", stepped=False)
    return latent_size((height, width) if image is None else image.shape[:2], height * width)


def _path(
    options: "LingBotOptions", config: LingBotConfig, *, tell: Callable[[str], object]
) -> tuple[CameraPath | None, Length]:
    given = options.trajectory or TOUR
    if given == LIVE:
        if options.frames is None:
            raise ValueError(f"`trajectory` {LIVE} needs `frames`: how many there may be, for which there is room")
        return None, rollout_length(options.frames)
    if config.control == "act" and options.trajectory is None:
        track = read_path(given, "cam", frames=options.frames, tell=tell).track
        path = CameraPath(track, np.zeros((len(track), 4)))
    else:
        path = read_path(given, config.control, frames=options.frames, tell=tell)
    return path, rollout_length(options.frames or len(path.track), len(path.track))


def _summary(options: "LingBotOptions", backbone: LingBotWorld, length: Length) -> dict:
    return {
        "weights": options.ckpt or "random",
        "image": options.image,
        "prompt": options.prompt,
        "trajectory": options.trajectory or TOUR,
        "frames": length.frames,
        "height": backbone.rows * CELL,
        "width": backbone.columns * CELL,
        "shift": options.shift,
        "decoder": options.decoder,
        "model": dataclasses.asdict(backbone.config),
    }
