"""From options to a rollout of LingBot-World-Fast: every input checked, then weights loaded and conditions encoded."""

import dataclasses
import functools
import typing
from collections.abc import Iterable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from checkpoints.weights import open_weights
from ports.lingbot_world.backbone import Given, LingBotParams, LingBotWorld
from ports.lingbot_world.camera import Lens, make_lens, motion_scale
from ports.lingbot_world.camera_folder import CameraPath, latent_actions, read_path
from ports.lingbot_world.checkpoint import DIT
from ports.lingbot_world.config import TINY, LingBotConfig
from ports.lingbot_world.cost import lingbot_cost
from ports.lingbot_world.model import LingBotDiT
from ports.lingbot_world.released_flags import check_released_window, choose_released
from ports.lingbot_world.schedule import lingbot_schedule
from ports.lingbot_world.size import Length, latent_size, rollout_length
from ports.wan.autoencoders import wan_vae
from ports.wan.encoders import umt5
from ports.wan.encoders.prompts import is_embedding
from ports.wan.encoders.resize import bicubic
from ports.wan.nn.parameters import init_params
from ports.wan.program.first_frame import cells_of_chunk, draw_first_frame, encode_first_frame
from ports.wan.program.frame_size import read_size
from ports.wan.program.prompt import Prompt
from ports.wan.program.weights import (
    check_parts,
    draw_transformer,
    load_transformer,
    load_whole,
    whole_sharding,
)
from ports.wan.sizes import CELL, CHUNK_FRAMES
from worldkv_jax.cameras import CameraTrack, DEFAULT_INTRINSICS, latent_poses
from worldkv_jax.media import read_picture
from worldkv_jax.memory import DEFAULT, MemoryConfig
from worldkv_jax.rollout import CameraSource, ChunkInput, chunk_inputs, live_chunks
from worldkv_jax.sessions import Loaded, MemoryOptions, Placement, Session, choose_memory

if typing.TYPE_CHECKING:
    from ports.lingbot_world.options import LingBotOptions

FPS = 16.0
"""Frames a second of the released videos."""
HEAD_DIM = 128
LIVE = "-"
"""Stands for cameras that are asked for while the rollout goes on."""
TOUR = "R_L_R_L_R_L90"
"""Camera moves where none are given and none are needed: those of WorldKV's own example."""
TINY_SIZE = (64, 96)
"""Pixels of a tiny model's video."""
TINY_VAE = wan_vae.VAEConfig(dim=4)


def open_session(
    options: "LingBotOptions", memory: MemoryConfig | MemoryOptions | None, *, weights: bool, decode: bool
) -> Session:
    """Check what was asked for, see `worldkv_jax.sessions.Options.check`."""
    random = options.random_weights or options.tiny
    has_files = weights and not random
    _check_given(options, has_files=has_files)
    config = _config(options)
    prompt = Prompt.check(
        options.prompt,
        dim=config.text_dim,
        rows=config.text_rows,
        dtype=config.dtype,
        ckpt=Path(options.ckpt) if has_files else None,
        encoder=umt5.COMPONENT,
    )
    if options.ckpt is not None:
        others = [wan_vae.COMPONENT, *([umt5.COMPONENT] if prompt.is_read else [])] if has_files else []
        check_parts(options.ckpt, [DIT, *others])
    notes: list[str] = []
    image = None if options.image is None else read_picture(options.image, tell=notes.append)
    rows, columns = _latent_size(options, image)
    path, length = _path(options, config)
    chosen = choose_released(options.released, memory, sink_size=config.sink_frames)
    chosen = choose_memory(memory, DEFAULT.fitted(length.chunks)) if chosen is None else chosen
    check_released_window(chosen, length.latents)
    coder = open_weights(options.ckpt, wan_vae.COMPONENT).config if has_files else wan_vae.VAEConfig()
    backbone = LingBotWorld(
        config, rows, columns, lingbot_schedule(shift=options.shift), TINY_VAE if options.tiny else coder
    )
    program = _Program(
        backbone=backbone,
        path=path,
        length=length,
        scale=options.translation_scale,
        image=image,
        prompt=prompt,
        ckpt=None if random else options.ckpt,
        decodes=decode,
    )
    return Session(
        model="lingbot-world-fast",
        backbone=backbone,
        memory=chosen,
        chunks=length.chunks,
        fps=FPS,
        cost=lingbot_cost(backbone, encodes_text=not random and not (options.prompt and is_embedding(options.prompt)), decodes=decode),
        loader=program.load,
        random_weights=random,
        decode=decode,
        summary=_summary(options, backbone, length),
        notes=tuple(notes),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Program:
    """What one rollout is made of."""

    backbone: LingBotWorld
    path: CameraPath | None
    """``None`` for cameras that come live."""
    length: Length
    scale: float | None
    """Scene units that motion is divided by; ``None`` to measure the whole path, which a live camera cannot."""
    image: np.ndarray | None
    """uint8 ``[H, W, 3]``; ``None`` for noise in its place, with random weights."""
    prompt: Prompt
    ckpt: str | None
    """``None`` for random weights."""
    decodes: bool

    def load(self, where: Placement) -> Loaded:
        """Embed the prompt, encode the image, then load the transformer: one large network at a time."""
        config, coder = self.backbone.config, {}
        prompt = self.prompt.embed(where)
        if self.ckpt is not None:
            _, coder = load_whole(self.ckpt, wan_vae.COMPONENT, "float32", where)
        elif self.decodes or self.image is not None:
            coder = jax.device_put(wan_vae.init_params(self.backbone.vae, 0), whole_sharding(where))
        cells = self._first_frame(coder)
        if self.ckpt is not None:
            dit = load_transformer(self.ckpt, DIT, config.dtype, where)
        else:
            dtype = jnp.dtype(config.dtype)
            dit = draw_transformer(lambda: init_params(LingBotDiT, config, 0, dtype=dtype), where)
        params = LingBotParams(dit, {"decoder": coder["decoder"]} if self.decodes else None)
        return Loaded(params=params, inputs=functools.partial(self.inputs, cells, prompt))

    def inputs(
        self,
        cells: jax.Array,
        prompt: jax.Array,
        poses: np.ndarray | CameraSource | None = None,
        *,
        worlds: int,
        intrinsics: np.ndarray = DEFAULT_INTRINSICS,
        actions: np.ndarray | None = None,
    ) -> Iterable[ChunkInput]:
        """Put together what each chunk is given.

        Args:
            cells: ``[1, n, rows, columns, 20]`` of `encode_first_frame`.
            prompt: ``[text_rows, text_dim]``.
            poses: camera-to-world ``[n, 4, 4]``, one a video frame, cut to whole chunks; or who is asked for those of
                latent frames. The path of the options by default.
            worlds: worlds in the batch; all are given the same.
            intrinsics: fx, fy, cx, cy of the poses at 480 x 832 pixels.
            actions: keys W, A, S, D ``[n, 4]`` of the poses, for checkpoints that are steered by them.
        """
        if callable(poses):
            return self._live(cells, prompt, poses, worlds, intrinsics)
        path, length = self.path, self.length
        if poses is None and path is None:
            raise ValueError("cameras come live: give who is asked for them, chunk by chunk")
        if poses is not None:
            path, length = CameraPath(CameraTrack(poses, intrinsics), actions), rollout_length(len(poses))
        latents = length.latents
        track = latent_poses(path.track.poses[: length.poses], latents)
        lens = self._lens(motion_scale(track) if self.scale is None else self.scale, path.track.intrinsics)
        keys = None if path.actions is None else latent_actions(path.actions, length.poses, latents)
        given = [
            self._given(cells, prompt, lens, chunk, None if keys is None else keys[chunk * CHUNK_FRAMES :], worlds)
            for chunk in range(length.chunks)
        ]
        return chunk_inputs(np.broadcast_to(track, (worlds, *track.shape)), self.backbone.spec, conditions=given)

    def _live(self, cells, prompt, source: CameraSource, worlds: int, intrinsics) -> Iterable[ChunkInput]:
        if self.scale is None:
            raise ValueError(
                "the path of a live camera is not known ahead, so its fastest motion cannot be measured; give "
                "`translation_scale`, in scene units between latent frames"
            )
        if self.backbone.config.control == "act":
            raise ValueError("this checkpoint is steered by keys as well; give whole paths with their actions")
        lens = self._lens(self.scale, intrinsics)

        def given(chunk: int) -> Given:
            return self._given(cells, prompt, lens, chunk, None, worlds)

        return live_chunks(source, self.backbone.spec, worlds=worlds, conditions=given)

    def _lens(self, scale: float, intrinsics: np.ndarray) -> Lens:
        size = self.backbone.rows * CELL, self.backbone.columns * CELL
        return make_lens(size, scale=scale, intrinsics=intrinsics)

    def _given(self, cells, prompt, lens: Lens, chunk: int, keys: np.ndarray | None, worlds: int) -> Given:
        if keys is not None:
            lens = lens._replace(actions=jnp.asarray(keys[:CHUNK_FRAMES], jnp.float32)[None])
        given = Given(lens, cells_of_chunk(cells, chunk), prompt[None])
        return jax.tree.map(lambda part: jnp.repeat(part, worlds, axis=0), given) if worlds > 1 else given

    def _first_frame(self, coder: dict) -> jax.Array:
        backbone, latents = self.backbone, self.length.latents
        if self.image is None:
            return draw_first_frame(backbone.vae, jax.random.key(0), (backbone.rows, backbone.columns), latents=latents)
        frame = _stretch(self.image, backbone.rows * CELL, backbone.columns * CELL)
        return jax.block_until_ready(encode_first_frame(backbone.vae, coder, frame[None], latents=latents))


@functools.partial(jax.jit, static_argnums=(1, 2))
def _stretch(image: jax.Array, height: int, width: int) -> jax.Array:
    """Bring an image uint8 ``[H, W, 3]`` to the video's size, stretched and not cropped, in [-1, 1]."""
    return bicubic(image.astype(jnp.float32) / 127.5 - 1, height, width)


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
    if options.tiny:
        return dataclasses.replace(TINY, control=options.control or "cam")
    sizes = {"control": options.control or "cam", "dtype": options.dtype}
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
    return LingBotConfig(**sizes)


def _latent_size(options: "LingBotOptions", image: np.ndarray | None) -> tuple[int, int]:
    if options.resolution is not None:
        height, width = read_size("resolution", options.resolution, like="480x832")
        return height // CELL, width // CELL
    height, width = TINY_SIZE if options.tiny else read_size("size", options.size, like="480*832", stepped=False)
    return latent_size((height, width) if image is None else image.shape[:2], height * width)


def _path(options: "LingBotOptions", config: LingBotConfig) -> tuple[CameraPath | None, Length]:
    if options.frames is not None and options.frames < 1:
        raise ValueError(f"`frames` {options.frames} must be at least 1")
    given = options.trajectory or TOUR
    if given == LIVE:
        if options.frames is None:
            raise ValueError(f"`trajectory` {LIVE} needs `frames`: how many there may be, for which there is room")
        return None, rollout_length(options.frames)
    if config.control == "act" and options.trajectory is None:
        track = read_path(given, "cam", frames=options.frames).track
        path = CameraPath(track, np.zeros((len(track), 4)))
    else:
        path = read_path(given, config.control, frames=options.frames)
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
        "model": dataclasses.asdict(backbone.config),
    }
