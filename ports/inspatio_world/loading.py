"""From options to a rollout of InSpatio-World: every input checked, then the scene filmed, encoded, weights loaded."""

import dataclasses
import typing
from pathlib import Path

import jax
import jax.numpy as jnp

from checkpoints.weights import open_weights
from ports.inspatio_world.backbone import InSpatioParams, InSpatioWorld
from ports.inspatio_world.checkpoint import DIT, UMT5, VAE, tokenizer_folder
from ports.inspatio_world.config import SIZE, TINY, TINY_VAE, InSpatioConfig
from ports.inspatio_world.cost import inspatio_cost
from ports.inspatio_world.memory import as_asked, weigh_source
from ports.inspatio_world.source import builtin_scene
from ports.inspatio_world.source.coverage import known_shares
from ports.inspatio_world.source.encode import encode_footage, moments
from ports.inspatio_world.source.footage import film
from ports.inspatio_world.source.scene import Scene
from ports.inspatio_world.source.scene_files import read_scene
from ports.inspatio_world.source.shot import Filming, Shot, plan_targets, plan_trajectory
from ports.inspatio_world.source.trajectory import read_target_poses, read_trajectory
from ports.wan.autoencoders import wan_vae
from ports.wan.nn.dit import WanDiT
from ports.wan.nn.parameters import init_params
from ports.wan.program.frame_size import read_size
from ports.wan.program.prompt import Prompt
from ports.wan.program.weights import draw_transformer, load_transformer, load_whole, whole_sharding
from ports.wan.sizes import CELL
from worldkv_jax.memory import MemoryConfig
from worldkv_jax.rollout import ChunkInput
from worldkv_jax.sessions import Loaded, MemoryOptions, Placement, Session

if typing.TYPE_CHECKING:
    from ports.inspatio_world.options import InSpatioOptions

FPS = 24.0
"""Frames a second, where the scene does not say."""


def open_session(
    options: "InSpatioOptions", memory: MemoryConfig | MemoryOptions | None, *, weights: bool, decode: bool
) -> Session:
    """Check what was asked for, see `worldkv_jax.sessions.Options.check`."""
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
    backbone = _backbone(options, scene)
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
    chosen = weigh_source(chosen, times=moments(shot), known=known_shares(scene, shot), **of_source)
    backbone = dataclasses.replace(backbone, remembered_position=position)
    program = _Program(
        backbone=backbone,
        scene=scene,
        shot=shot,
        released=options.as_released,
        prompt=prompt,
        ckpt=options.ckpt,
        dit=options.dit,
    )
    return Session(
        model="inspatio-world",
        backbone=backbone,
        memory=chosen,
        chunks=chunks,
        fps=options.fps or scene.fps or FPS,
        cost=inspatio_cost(backbone, frames=len(shot.index), encodes_text=prompt.is_read, decodes=decode),
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
            "decoder_rule": options.decoder_rule,
            "least_unknown": options.least_unknown,
            **of_source,
        },
        notes=(*scene.notes, *shot.notes),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Program:
    """What one rollout is made of."""

    backbone: InSpatioWorld
    scene: Scene
    shot: Shot
    released: bool
    """See `film`."""
    prompt: Prompt
    ckpt: str | None
    """``None`` for random weights."""
    dit: str | None
    """File of the transformer, where it is not to be looked for in ``ckpt``."""

    def load(self, where: Placement) -> Loaded:
        """Film first, which tells soonest if a path is wrong; then load one large network at a time."""
        backbone, config = self.backbone, self.backbone.config
        footage = film(self.scene, self.shot, released=self.released)
        text = self.prompt.embed(where)
        precise = backbone.vae.compute_dtype
        if self.ckpt is None:
            coder = wan_vae.init_params(backbone.vae, 0, dtype=jnp.dtype(precise))
            coder = jax.device_put(coder, whole_sharding(where))
        else:
            _, coder = load_whole(self.ckpt, VAE, precise, where)
        inputs = encode_footage(backbone, coder, self.scene, self.shot, footage, text)
        inputs = jax.block_until_ready(inputs)  # only then may the encoder's weights go
        if self.ckpt is None:
            dit = draw_transformer(lambda: init_params(WanDiT, config, 0, dtype=jnp.dtype(config.dtype)), where)
        else:
            dit = load_transformer(self.dit or self.ckpt, DIT, config.dtype, where)

        def of_options(*, worlds: int) -> list[ChunkInput]:
            return jax.tree.map(lambda part: jnp.repeat(part, worlds, axis=0), inputs) if worlds > 1 else inputs

        params = InSpatioParams(dit, {"decoder": coder["decoder"]})
        return Loaded(params=params, inputs=of_options, notes=footage.notes)


def _check_given(options: "InSpatioOptions", *, random: bool, has_files: bool) -> None:
    if random and options.ckpt is not None:
        raise ValueError("`ckpt` excludes `random_weights` and `tiny`; give one of them")
    if options.dit is not None and options.ckpt is None:
        raise ValueError("`dit` is the transformer alone; give the folder of VAE and text encoder with `ckpt`")
    if has_files and options.ckpt is None:
        raise ValueError("`ckpt` missing: give the model folder, or `random_weights` or `tiny` to try without")
    if options.frames is not None and options.frames < 1:
        raise ValueError(f"`frames` {options.frames}: give at least one")


def _scene(options: "InSpatioOptions") -> Scene:
    if options.scene is None:
        raise ValueError(f"`scene` missing: give a folder, or {builtin_scene.NAME}, which needs no file")
    builtin = options.scene == builtin_scene.NAME
    default = builtin_scene.SIZE if builtin else SIZE
    size = default if options.size is None else read_size("size", options.size, like="480x832")
    if builtin:
        return builtin_scene.builtin_scene(size=size)
    return read_scene(options.scene, depth_scale=options.depth_scale).resized(size)


def _shot(options: "InSpatioOptions", scene: Scene) -> Shot:
    version = options.version or ("v1" if scene.targets is None and scene.kind == "video" else "v1.5")
    if version == "v1.5":
        if options.trajectory is None and scene.targets is None:
            raise ValueError("`trajectory` missing: v1.5 films along a file of world-to-camera matrices, one a frame")
        targets = scene.targets if options.trajectory is None else read_target_poses(options.trajectory)
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
        fit=options.fit,
        released=options.as_released,
    )
    return plan_trajectory(scene, path, filming, limit=options.frames)


def _backbone(options: "InSpatioOptions", scene: Scene) -> InSpatioWorld:
    if options.tiny:
        config, coder = TINY, TINY_VAE
    else:
        place = options.dit or options.ckpt
        config = InSpatioConfig() if place is None else open_weights(place, DIT).config
        config = dataclasses.replace(config, dtype=options.dtype)
        coder = wan_vae.VAEConfig(compute_dtype=options.dtype)
    return InSpatioWorld(
        config=config,
        rows=scene.size[0] // CELL,
        columns=scene.size[1] // CELL,
        vae=dataclasses.replace(coder, decoder_rule=options.decoder_rule),
        least_unknown=options.least_unknown,
    )
