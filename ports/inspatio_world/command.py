"""InSpatio-World on the command line: `worldkv rollout inspatio-world`, `worldkv plan inspatio-world`."""

import argparse

HELP = "InSpatio-World, 1.3 billion parameters: a video or images seen from a new camera path"

_DTYPES = ("bfloat16", "float32")
_FPS = 24.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this model."""
    add = parser.add_argument
    add("--ckpt", metavar="DIR", help="model folder as released, or a converted one")
    add("--dit", metavar="FILE", help="the transformer, where the folder has several or none")
    add("--scene", metavar="DIR", help="folder with frames, depth, intrinsics and poses; or: builtin")
    add("--trajectory", metavar="FILE", help="camera path: three lines (v1) or world-to-camera matrices (v1.5)")
    add("--version", choices=("v1", "v1.5"), help="whose rules to film by (default: the scene's)", default=None)
    add("--prompt", metavar="TEXT", help="what is to be seen; or an embedding, a .npy or .safetensors file")
    add("--frames", type=int, metavar="N", help="video frames at most")
    add("--fps", type=float, metavar="F", help="frames a second of the result (default: the scene's, or 24)")
    add("--size", metavar="HxW", help="height and width; frames are stretched (default: 480x832; builtin: 96x144)")
    add("--depth-scale", type=float, default=1.0, metavar="S", help="multiply depths, to the unit of the poses")
    add("--dtype", choices=_DTYPES, default=_DTYPES[0], help="of weights and products (default: bfloat16)")
    add("--decoder-rule", choices=("inspatio", "wan"), default="inspatio", help="cache of the VAE's decoder")
    _add_path(parser.add_argument_group("camera path of v1"))
    _add_gates(parser.add_argument_group("what retrieval knows of the source"))
    group = parser.add_argument_group("without a checkpoint")
    group.add_argument("--random-weights", action="store_true", help="draw the weights; no checkpoint is needed")
    group.add_argument("--tiny", action="store_true", help="a tiny model with random weights, for any machine")


def _add_path(group) -> None:
    add = group.add_argument
    add("--follow", action="store_true", help="start from the source's camera of every frame, not of the first")
    add("--rotation-only", action="store_true", help="turn on the spot")
    add("--freeze-repeat", type=int, default=0, metavar="N", help="show one frame N more times")
    add("--freeze-frame", type=int, metavar="I", help="which frame (default: the middle one)")
    add("--all-frames", action="store_true", help="neither bounce nor thin a source that is short or long for its path")
    add("--fit", choices=("smooth", "exact"), default="smooth", help="near the keys as released, or through them")
    add("--as-released", action="store_true", help="multiply poses and centre the lens as the released code does")


def _add_gates(group) -> None:
    add = group.add_argument
    add("--least-unknown", type=float, default=0.0, metavar="S", help="share the source leaves unknown to retrieve at")
    add("--time-weight", type=float, default=0.0, metavar="W", help="weight of the distance in the source's time")
    add("--known-weight", type=float, default=0.0, metavar="W", help="weight of what the source showed of a chunk")


def request(args: argparse.Namespace, memory):
    """Check everything that was given and describe the rollout; loads no weights."""
    import dataclasses
    import functools

    from ports.inspatio_world.cost import inspatio_cost
    from ports.inspatio_world.coverage import known_shares
    from ports.inspatio_world.inputs import moments
    from ports.inspatio_world.loading import Job, is_embedding, load
    from ports.inspatio_world.memory import as_asked, default_memory, weigh_source
    from worldkv_jax.rollout.request import Request

    planning = getattr(args, "command", None) == "plan"
    random = args.random_weights or args.tiny
    if random and args.ckpt is not None:
        raise ValueError("--ckpt excludes --random-weights and --tiny; give one of them")
    if args.dit is not None and args.ckpt is None:
        raise ValueError("--dit is the transformer alone; give the folder of VAE and text encoder with --ckpt")
    if not random and args.ckpt is None and not planning:
        raise ValueError("--ckpt missing: give the model folder, or --random-weights or --tiny to try without")
    scene = _scene(args)
    version, shot = _shot(args, scene)
    for note in (*scene.notes, *shot.notes):
        print(f"note: {note}")
    prompt = args.prompt or scene.prompt
    if prompt is None and not random and not planning:
        raise ValueError(
            "--prompt missing, and the scene has no prompt.txt: say what is to be seen, or give an embedding"
        )
    backbone = _backbone(args, scene.size)
    _check_prompt(prompt, args.ckpt, backbone.config)
    chunks = shot.latents // backbone.spec.chunk_frames
    memory = default_memory(chunks) if memory is None else memory
    memory, position = as_asked(memory, sink=getattr(args, "sink", None), recent=getattr(args, "recent", None))
    weights = {"time_weight": args.time_weight, "known_weight": args.known_weight}
    memory = weigh_source(memory, times=moments(shot), known=known_shares(scene, shot), **weights)
    backbone = dataclasses.replace(backbone, remembered_position=position)
    reads_text = args.ckpt is not None and not is_embedding(prompt or "")
    job = Job(
        backbone=backbone,
        scene=scene,
        shot=shot,
        released=args.as_released,
        prompt=prompt,
        ckpt=args.ckpt,
        dit=args.dit,
    )
    decodes = not getattr(args, "no_decode", False)
    return Request(
        backbone=backbone,
        memory=memory,
        chunks=chunks,
        fps=args.fps or scene.fps or _FPS,
        cost=inspatio_cost(backbone, frames=len(shot.index), encodes_text=reads_text, decodes=decodes),
        load=functools.partial(load, job),
        pixel_frames=shot.frames,
        random_weights=random,
        summary={
            "weights": "random" if random else args.ckpt,
            "version": version,
            "scene": args.scene,
            "trajectory": args.trajectory,
            "prompt": prompt,
            "frames": shot.frames,
            "size": f"{scene.size[0]}x{scene.size[1]}",
            "decoder_rule": args.decoder_rule,
            "least_unknown": args.least_unknown,
            **weights,
        },
    )


def _scene(args):
    from ports.inspatio_world import builtin_scene
    from ports.inspatio_world.config import SIZE
    from ports.inspatio_world.scene_files import read_scene

    if args.scene is None:
        raise ValueError(f"--scene missing: give a folder, or {builtin_scene.NAME}, which needs no file")
    if args.scene == builtin_scene.NAME:
        return builtin_scene.builtin_scene(size=_size(args.size) or builtin_scene.SIZE)
    size = _size(args.size) or SIZE
    return read_scene(args.scene, depth_scale=args.depth_scale).resized(size)


def _size(text: str | None) -> tuple[int, int] | None:
    from ports.inspatio_world.scene import STEP

    if text is None:
        return None
    words = text.split("x")
    if len(words) != 2 or not all(word.isdecimal() and 0 < int(word) < 10**5 for word in words):
        raise ValueError(f"--size {text}: expected height and width in pixels, such as 480x832")
    height, width = map(int, words)
    if height % STEP or width % STEP:
        raise ValueError(f"--size {text}: both sides must be multiples of {STEP}; the weights are for 480x832")
    return height, width


def _shot(args, scene):
    from ports.inspatio_world import builtin_scene
    from ports.inspatio_world.shot import Options, plan_targets, plan_trajectory
    from ports.inspatio_world.trajectory import read_target_poses, read_trajectory

    version = args.version or ("v1" if scene.targets is None and scene.kind == "video" else "v1.5")
    if args.frames is not None and args.frames < 1:
        raise ValueError(f"--frames {args.frames}: give at least one")
    if version == "v1.5":
        if args.trajectory is None and scene.targets is None:
            raise ValueError("--trajectory missing: v1.5 films along a file of world-to-camera matrices, one a frame")
        targets = scene.targets if args.trajectory is None else read_target_poses(args.trajectory)
        return version, plan_targets(scene, targets, limit=args.frames)
    if args.trajectory is None and args.scene != builtin_scene.NAME:
        raise ValueError("--trajectory missing: v1 films along a file of three lines: pitch, yaw and displacement")
    path = builtin_scene.OUT_AND_BACK if args.trajectory is None else read_trajectory(args.trajectory)
    options = Options(
        follow=args.follow,
        rotation_only=args.rotation_only,
        freeze_repeat=args.freeze_repeat,
        freeze_frame=args.freeze_frame,
        adaptive=not args.all_frames,
        fit=args.fit,
        released=args.as_released,
    )
    return version, plan_trajectory(scene, path, options, limit=args.frames)


def _backbone(args, size):
    import dataclasses

    from checkpoints.weights import open_weights
    from ports.inspatio_world.backbone import InSpatioWorld
    from ports.inspatio_world.checkpoint import DIT
    from ports.inspatio_world.config import TINY, TINY_VAE, InSpatioConfig
    from ports.wan.autoencoders.wan_vae import VAEConfig
    from ports.wan.latents import CELL

    if args.tiny:
        config, coder = TINY, TINY_VAE
    else:
        place = args.dit or args.ckpt
        config = InSpatioConfig() if place is None else open_weights(place, DIT).config
        config = dataclasses.replace(config, dtype=args.dtype)
        coder = VAEConfig(compute_dtype=args.dtype)
    return InSpatioWorld(
        config=config,
        rows=size[0] // CELL,
        columns=size[1] // CELL,
        vae=dataclasses.replace(coder, decoder_rule=args.decoder_rule),
        least_unknown=args.least_unknown,
    )


def _check_prompt(prompt: str | None, ckpt: str | None, config) -> None:
    from checkpoints.weights import open_weights
    from ports.inspatio_world.checkpoint import UMT5, tokenizer_folder
    from ports.inspatio_world.loading import is_embedding
    from ports.wan.encoders.prompts import load_embedding
    from ports.wan.encoders.text import Tokenizer

    if prompt is None:
        return
    if is_embedding(prompt):
        load_embedding(prompt, dim=config.text_dim, length=config.text_rows)
    elif ckpt is not None:
        open_weights(ckpt, UMT5)
        Tokenizer.load(tokenizer_folder(ckpt), length=config.text_rows)("")
