"""From options to a session of Matrix-Game 2.0: every input checked, no weight read."""

import dataclasses
import functools
import typing
from collections.abc import Callable, Sequence

import numpy as np

from checkpoints.weights import open_weights
from ports.matrix_game2.action_sources import read_actions, typed
from ports.matrix_game2.actions import MAX_CHUNKS, chunks_of_rows
from ports.matrix_game2.backbone import MatrixGame2
from ports.matrix_game2.checkpoint import dit_component
from ports.matrix_game2.config import TINY, MatrixGameConfig
from ports.matrix_game2.cost import matrix_game_cost
from ports.matrix_game2.loading import Actions, Program
from ports.matrix_game2.memories import WHY_OFF, default_memory, native_memory
from ports.matrix_game2.scene import HEIGHT, WIDTH, fit_picture
from ports.matrix_game2.variants import TEMPLERUN, Variant, variant_named
from ports.wan.autoencoders import wan_vae
from ports.wan.encoders import clip
from ports.wan.latents import CELL
from ports.wan.program.coders import DecoderConfig, decoder_config
from ports.wan.program.counts import check_count, check_fps
from ports.wan.program.frame_size import lies_differently, read_size
from ports.wan.program.shared_options import LIVE
from ports.wan.program.weights import check_offload, choose_weights
from worldkv_jax.cameras.actions import MotionUnits
from worldkv_jax.media import read_picture
from worldkv_jax.memory import MemoryConfig
from worldkv_jax.sessions import MemoryOptions, Session, choose_memory

if typing.TYPE_CHECKING:
    from ports.matrix_game2.options import MatrixGameOptions

TINY_SIZE = (64, 96)
"""Pixels of a tiny model's video."""
_SIZES = ("dim", "ffn_dim", "heads", "layers", "frequency_dim", "image_dim", "keyboard_dim")
_ACTION_SIZES = ("action_layers", "action_heads", "action_head_dim", "dtype")


def open_session(
    options: "MatrixGameOptions", memory: MemoryConfig | MemoryOptions | None, *, weights: bool, decode: bool
) -> Session:
    """Check what was asked for, see `worldkv_jax.sessions.ModelOptions.check`."""
    random = options.random_weights or options.tiny
    variant = variant_named(options.variant)
    _check_given(options, has_files=weights and not random)
    rows, columns = _latent_size(options)
    notes: list[str] = []
    actions, chunks = _actions(options, variant, notes.append)
    images = [read_picture(path, tell=notes.append) for path in _listed(options.image)]
    if options.size is not None:
        notes += [note for image in images for note in lies_differently("size", (rows, columns), image.shape[:2])]
    pictures = np.stack([fit_picture(image, rows * CELL, columns * CELL) for image in images]) if images else None
    worlds = _worlds(pictures, actions)
    config, coder, tower, decoder = _networks(options, variant)
    config, rounds = choose_weights(config, options.weights)
    offload = check_offload(config, options.offload, first=config.action_layers)
    schedule = variant.schedule.fewer_passes(options.steps, options.commit)
    backbone = MatrixGame2(config=config, rows=rows, columns=columns, schedule=schedule, vae=decoder)
    units = _units(options)
    native = native_memory(config)
    chosen = choose_memory(memory, default_memory(variant, chunks=chunks), native)
    if chosen.mode == "worldkv" and not units.calibrated:
        notes.append(
            "how far an action moves the camera is not published for this model; the numbers are those of a sibling "
            "(`degrees_per_mouse_unit` and `step` change them)"
        )
    if variant == TEMPLERUN and chosen == native:
        notes.append(f"{variant.name} has its native window: {WHY_OFF} (`memory` worldkv)")
    program = Program(
        backbone=backbone,
        variant=variant,
        coder=coder,
        tower=tower,
        pictures=pictures,
        actions=actions,
        worlds=worlds,
        chunks=chunks,
        units=units,
        fps=options.fps,
        ckpt=options.ckpt,
        offload=offload,
        decodes=decode,
    )
    return Session(
        model="matrix-game-2",
        backbone=backbone,
        memory=chosen,
        chunks=chunks,
        worlds=worlds,
        fps=options.fps,
        count_cost=functools.partial(
            matrix_game_cost, backbone, coder, tower, worlds=worlds, rounds=rounds, offload=offload, decodes=decode
        ),
        loader=program.load,
        random_weights=random,
        decode=decode,
        summary=_summary(options, program),
        notes=tuple(notes),
    )


def _listed(given: Sequence[str] | str | None) -> tuple[str, ...]:
    return () if given is None else (given,) if isinstance(given, str) else tuple(given)


def _check_given(options: "MatrixGameOptions", *, has_files: bool) -> None:
    if (options.random_weights or options.tiny) and options.ckpt is not None:
        raise ValueError("`ckpt` excludes `random_weights` and `tiny`; give one of them")
    missing = [f"`{name}`" for name in ("ckpt", "image", "actions") if not getattr(options, name)]
    if missing and has_files:
        raise ValueError(f"{', '.join(missing)} missing; or give `random_weights` or `tiny`, which need no file")
    check_count("chunks", options.chunks, most=MAX_CHUNKS)
    check_fps(options.fps)


def _latent_size(options: "MatrixGameOptions") -> tuple[int, int]:
    default = TINY_SIZE if options.tiny else (HEIGHT, WIDTH)
    height, width = default if options.size is None else read_size("size", options.size, like="352x640")
    return height // CELL, width // CELL


def _actions(options: "MatrixGameOptions", variant: Variant, tell: Callable[[str], object]) -> tuple[Actions, int]:
    """Read the actions of each world, all for the same number of chunks; or who is to be asked for them."""
    given = _listed(options.actions) or (variant.tour,)
    if LIVE in given:
        if len(given) > 1:
            raise ValueError(f"`actions` {LIVE} types the actions of all worlds; leave the other `actions` out")
        if options.chunks is None:
            raise ValueError(f"`actions` {LIVE} needs `chunks`: how many there may be, for which there is room")
        return functools.partial(typed, variant, options.chunks), options.chunks
    worlds = [read_actions(variant, text, chunks=options.chunks, tell=tell) for text in given]
    lengths = sorted({chunks_of_rows(len(rows.keyboard)) for rows in worlds})
    if len(lengths) > 1:
        raise ValueError(f"`actions` are for different numbers of chunks, {lengths}; say how many with `chunks`")
    return worlds, lengths[0]


def _worlds(pictures: np.ndarray | None, actions: Actions) -> int:
    """Count the worlds of the batch: one picture may serve many actions, and the other way round."""
    counts = [1 if pictures is None else len(pictures), 1 if callable(actions) else len(actions)]
    if min(counts) > 1 and counts[0] != counts[1]:
        raise ValueError(f"{counts[0]} pictures but {counts[1]} actions; give as many, or one of either for all worlds")
    return max(counts)


def _networks(
    options: "MatrixGameOptions", variant: Variant
) -> tuple[MatrixGameConfig, wan_vae.VAEConfig, clip.CLIPConfig, DecoderConfig]:
    """Return the sizes of transformer, encoding VAE, CLIP and decoder; of a checkpoint read from its files."""
    precise = options.decoder_dtype or ("float32" if options.dtype == "float32" or options.tiny else "float16")
    if options.tiny:
        config = variant.configure(**{name: getattr(TINY, name) for name in (*_SIZES, *_ACTION_SIZES)})
        coder = wan_vae.VAEConfig(dim=4)
        tower = clip.CLIPConfig(image_size=28, dim=config.image_dim, heads=2, layers=2, mlp_dim=32, out_dim=8)
    elif options.ckpt is None:
        config, coder, tower = variant.configure(dtype=options.dtype), wan_vae.VAEConfig(), clip.CLIPConfig()
    else:
        found = open_weights(options.ckpt, dit_component(variant)).config
        config = dataclasses.replace(found, dtype=options.dtype)
        coder, tower = (open_weights(options.ckpt, part).config for part in (wan_vae.COMPONENT, clip.COMPONENT))
        if tower.dim != config.image_dim:
            raise ValueError(
                f"CLIP in {options.ckpt} makes tokens of {tower.dim} numbers, but the transformer reads "
                f"{config.image_dim}"
            )
    decoder = decoder_config(options.decoder, coder, ckpt=options.ckpt, tiny=options.tiny, dtype=precise)
    return config, coder, tower, decoder


def _units(options: "MatrixGameOptions") -> MotionUnits:
    given = {"degrees_per_mouse_unit": options.degrees_per_mouse_unit, "step": options.step}
    given = {name: value for name, value in given.items() if value is not None}
    if "step" in given:
        given["diagonal_step"] = given["step"] * MotionUnits.diagonal_step / MotionUnits.step
    return MotionUnits(**given, calibrated=bool(given))


def _summary(options: "MatrixGameOptions", program: Program) -> dict:
    backbone = program.backbone
    return {
        "variant": program.variant.name,
        "weights": options.ckpt or "random",
        "image": _listed(options.image) or None,
        "actions": _listed(options.actions) or (program.variant.tour,),
        "worlds": program.worlds,
        "height": backbone.rows * CELL,
        "width": backbone.columns * CELL,
        "decoder": options.decoder,
        "decoder_dtype": backbone.vae.compute_dtype,
        "units": dataclasses.asdict(program.units),
        "first_affected_frame": "the first of the chunk for which an action is given",
        "model": dataclasses.asdict(backbone.config),
    }
