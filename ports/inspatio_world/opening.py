"""From options to a session of InSpatio-World: every input checked, no weight read."""

import dataclasses
import functools
import typing
from pathlib import Path

from checkpoints.weights import open_weights
from ports.inspatio_world.backbone import InSpatioWorld
from ports.inspatio_world.checkpoint import DIT, TAEHV, UMT5, VAE, tokenizer_folder
from ports.inspatio_world.config import SIZE, TINY, TINY_VAE, InSpatioConfig
from ports.inspatio_world.cost import inspatio_cost
from ports.inspatio_world.loading import Program
from ports.inspatio_world.memory import as_asked, weigh_source
from ports.inspatio_world.source import builtin_scene
from ports.inspatio_world.source.coverage import known_shares
from ports.inspatio_world.source.encode import moments
from ports.inspatio_world.source.scene import Scene
from ports.inspatio_world.source.scene_files import read_scene
from ports.inspatio_world.source.shot import Filming, Shot, plan_live, plan_targets, plan_trajectory
from ports.inspatio_world.source.trajectory import FITS, read_target_poses, read_trajectory
from ports.wan.autoencoders import wan_vae
from ports.wan.latents import CELL
from ports.wan.program.coders import decoder_config
from ports.wan.program.counts import check_count, check_fps
from ports.wan.program.frame_size import lies_differently, read_size
from ports.wan.program.prompt import Prompt
from ports.wan.program.shared_options import LIVE
from ports.wan.program.weights import check_offload, choose_weights
from worldkv_jax.memory import MemoryConfig
from worldkv_jax.names import check_name
from worldkv_jax.sessions import MemoryOptions, Session

if typing.TYPE_CHECKING:
    from ports.inspatio_world.options import InSpatioOptions

FPS = 24.0
"""Frames a second, where the scene does not say."""


def open_session(
    options: "InSpatioOptions", memory: MemoryConfig | MemoryOptions | None, *, weights: bool, decode: bool
) -> Session:
    """Check what was asked for, see `worldkv_jax.sessions.ModelOptions.check`."""
    random = options.random_weights or options.tiny
    has_files = weights and not random
    _check_given(options, random=random, has_files=has_files)
    scene = _scene(options)
    shot = _shot(options, scene)
    text = options.prompt or scene.prompt
    if text is None and has_files:
        raise ValueError(
            "`prompt` missing, and the scene has no prompt.txt: say what is to be seen, or give an embedding"
        )
    coder, backbone, rounds = _networks(options, scene, has_files=has_files)
    offload = check_offload(backbone.config, options.offload)
    config = backbone.config
    prompt = Prompt.check(
        text,
        dim=config.text_dim,
        rows=config.text_rows,
        dtype=config.dtype,
        ckpt=None if options.ckpt is None else Path(options.ckpt),
        encoder=UMT5,
        tokenizer=None if options.ckpt is None else tokenizer_folder(options.ckpt),
    )
    chunks = shot.latents // backbone.spec.chunk_frames
    chosen, position = as_asked(memory, chunks=chunks)
    of_source = {"time_weight": options.time_weight, "known_weight": options.known_weight}
    if any(of_source.values()):
        if options.trajectory == LIVE:
            raise ValueError("`time_weight` and `known_weight` need a path that is known ahead, not live cameras")
        chosen = weigh_source(chosen, times=moments(shot), known=known_shares(scene, shot), **of_source)
    schedule = backbone.schedule.fewer_passes(options.steps)
    backbone = dataclasses.replace(backbone, remembered_position=position, schedule=schedule)
    fps = options.fps or scene.fps or FPS
    program = Program(
        backbone=backbone,
        coder=coder,
        scene=scene,
        shot=shot,
        fps=fps,
        released=options.as_released,
        live=options.trajectory == LIVE,
        prompt=prompt,
        ckpt=options.ckpt,
        dit=options.dit,
        offload=offload,
        decodes=decode,
    )
    return Session(
        model="inspatio-world",
        backbone=backbone,
        memory=chosen,
        chunks=chunks,
        fps=fps,
        count_cost=functools.partial(
            inspatio_cost,
            backbone,
            coder,
            frames=len(shot.index),
            encodes_text=prompt.is_read,
            rounds=rounds,
            offload=offload,
            decodes=decode,
        ),
        loader=program.load,
        pixel_frames=shot.frames,
        random_weights=random,
        decode=decode,
        summary={
            "weights": "random" if random else options.ckpt,
            "version": shot.version,
            "scene": options.scene,
            "trajectory": options.trajectory,
            "prompt": text,
            "frames": shot.frames,
            "size": f"{scene.size[0]}x{scene.size[1]}",
            "decoder": options.decoder,
            "decoder_rule": options.decoder_rule,
            "least_unknown": options.least_unknown,
            **of_source,
        },
        notes=(*scene.notes, *shot.notes, *_shorter(options, shot)),
    )


def _shorter(options: "InSpatioOptions", shot: Shot) -> list[str]:
    if options.frames is None or shot.frames >= options.frames:
        return []
    return [f"the video has {shot.frames} frames and not {options.frames}: the path and its scene give no more"]


def _check_given(options: "InSpatioOptions", *, random: bool, has_files: bool) -> None:
    if random and options.ckpt is not None:
        raise ValueError("`ckpt` excludes `random_weights` and `tiny`; give one of them")
    if options.dit is not None and options.ckpt is None:
        raise ValueError("`dit` is the transformer alone; give the folder of VAE and text encoder with `ckpt`")
    if has_files and options.ckpt is None:
        raise ValueError("`ckpt` missing: give the model folder, or `random_weights` or `tiny` to try without")
    check_fps(options.fps)
    if options.depth_scale <= 0:
        raise ValueError(f"`depth_scale` {options.depth_scale:g} must be positive: depths in the unit of the poses")
    check_count("frames", options.frames)
    check_count("freeze_repeat", options.freeze_repeat, least=0)


def _scene(options: "InSpatioOptions") -> Scene:
    if options.scene is None:
        raise ValueError(f"`scene` missing: give a folder, or {builtin_scene.NAME}, which needs no file")
    builtin = options.scene == builtin_scene.NAME
    default = builtin_scene.SIZE if builtin else SIZE
    size = default if options.size is None else read_size("size", options.size, like="480x832")
    if builtin:
        return builtin_scene.builtin_scene(size=size)
    scene = read_scene(options.scene, depth_scale=options.depth_scale)
    turned = lies_differently("size", size, scene.size)
    scene = scene.resized(size)
    return dataclasses.replace(scene, notes=(*scene.notes, *turned))


def _shot(options: "InSpatioOptions", scene: Scene) -> Shot:
    if options.trajectory == LIVE:
        if options.frames is None:
            raise ValueError(f"`trajectory` {LIVE} needs `frames`: how many there may be, for which there is room")
        return plan_live(scene, options.frames)
    version = options.version or ("v1" if scene.targets is None and scene.kind == "video" else "v1.5")
    if version == "v1.5":
        targets = scene.targets if options.trajectory is None else read_target_poses(options.trajectory)
        if targets is None:
            raise ValueError("`trajectory` missing: v1.5 films along a file of world-to-camera matrices, one a frame")
        return plan_targets(scene, targets, limit=options.frames)
    if options.trajectory is None and options.scene != builtin_scene.NAME:
        raise ValueError("`trajectory` missing: v1 films along a file of three lines: pitch, yaw and displacement")
    path = builtin_scene.OUT_AND_BACK if options.trajectory is None else read_trajectory(options.trajectory)
    filming = Filming(
        follow=options.follow,
        rotation_only=options.rotation_only,
        freeze_repeat=options.freeze_repeat,
        freeze_frame=options.freeze_frame,
        adaptive=not options.all_frames,
        fit=check_name("fit of the keys", options.fit, FITS),
        released=options.as_released,
    )
    return plan_trajectory(scene, path, filming, limit=options.frames)


def _networks(
    options: "InSpatioOptions", scene: Scene, *, has_files: bool
) -> tuple[wan_vae.VAEConfig, InSpatioWorld, bool]:
    """Return the VAE that encodes, the backbone with what decodes, and whether weights are rounded when loaded."""
    ckpt = options.ckpt if has_files else None
    if options.tiny:
        config, coder = TINY, TINY_VAE
    else:
        place = options.dit or options.ckpt
        config = InSpatioConfig() if place is None else open_weights(place, DIT).config
        config = dataclasses.replace(config, dtype=options.dtype)
        coder = wan_vae.VAEConfig() if ckpt is None else open_weights(ckpt, VAE).config
        coder = dataclasses.replace(coder, compute_dtype=options.dtype)
    coder = dataclasses.replace(coder, decoder_rule=options.decoder_rule)
    config, rounds = choose_weights(config, options.weights)
    backbone = InSpatioWorld(
        config=config,
        rows=scene.size[0] // CELL,
        columns=scene.size[1] // CELL,
        vae=decoder_config(options.decoder, coder, ckpt=ckpt, component=TAEHV, tiny=options.tiny),
        least_unknown=options.least_unknown,
    )
    return coder, backbone, rounds
