"""What one rollout of LingBot-World-Fast is made of: weights loaded, prompt and picture encoded, chunks given."""

import dataclasses
import functools
from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from ports.lingbot_world.backbone import Given, LingBotWorld
from ports.lingbot_world.camera import Lens, make_lens, motion_scale
from ports.lingbot_world.camera_folder import CameraPath, latent_actions
from ports.lingbot_world.checkpoint import DIT
from ports.lingbot_world.model import LingBotDiT
from ports.lingbot_world.size import Length, rollout_length
from ports.lingbot_world.steering import LingBotSteering
from ports.wan.autoencoders import wan_vae
from ports.wan.backbone import WanParams
from ports.wan.encoders.resize import bicubic
from ports.wan.latents import CELL, CHUNK_FRAMES
from ports.wan.program.coders import coder_params, decoder_params
from ports.wan.program.first_frame import cells_of_chunk, draw_first_frame, encode_first_frame
from ports.wan.program.prompt import Prompt
from ports.wan.program.weights import make_transformer
from worldkv_jax.cameras import DEFAULT_INTRINSICS, CameraTrack, latent_poses
from worldkv_jax.rollout import CameraSource, ChunkInput, chunk_inputs, live_chunks
from worldkv_jax.sessions import Loaded, Placement


@dataclasses.dataclass(frozen=True, kw_only=True)
class Program:
    """What one rollout is made of."""

    backbone: LingBotWorld
    coder: wan_vae.VAEConfig
    """The VAE that encodes the picture."""
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
    offload: int
    """Layers whose weights wait in host memory."""
    decodes: bool

    def load(self, where: Placement) -> Loaded:
        """Embed the prompt, encode the image, then load the transformer: one large network at a time."""
        config = self.backbone.config
        prompt = self.prompt.embed(where)
        needs_coder = self.ckpt is not None or self.image is not None
        coder = coder_params(self.coder, where, ckpt=self.ckpt) if needs_coder else None
        cells = self._first_frame(coder)
        dit = make_transformer(LingBotDiT, config, where, component=DIT, ckpt=self.ckpt, offload=self.offload)
        decoder = decoder_params(self.backbone.vae, where, ckpt=self.ckpt, coder=coder) if self.decodes else None
        return Loaded(
            params=WanParams(dit, decoder),
            inputs=functools.partial(self.inputs, cells, prompt),
            steering=self._steering(cells, prompt, where),
        )

    def _steering(self, cells: jax.Array, prompt: jax.Array, where: Placement) -> LingBotSteering | None:
        if self.scale is None:
            return None
        lens = self._lens(self.scale, DEFAULT_INTRINSICS)

        def given(cells: jax.Array, chunk: int, keys: np.ndarray | None) -> Given:
            return self._given(cells, prompt, lens, chunk, keys, 1)

        def encode(picture: np.ndarray) -> jax.Array:
            return self._encoded(picture, coder_params(self.coder, where, ckpt=self.ckpt))

        return LingBotSteering(
            given=given,
            cells=cells,
            encode=encode,
            by_keys=self.backbone.config.control == "act",
            most_chunks=self.length.chunks,
        )

    def inputs(
        self,
        cells: jax.Array,
        prompt: jax.Array,
        poses: np.ndarray | CameraSource | None = None,
        *,
        worlds: int,
        intrinsics: ArrayLike = DEFAULT_INTRINSICS,
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
        if poses is not None:
            lens = np.asarray(intrinsics)
            path, length = CameraPath(CameraTrack(poses, lens), actions), rollout_length(len(poses))
        if path is None:
            raise ValueError("cameras come live: give who is asked for them, chunk by chunk")
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

    def _lens(self, scale: float, intrinsics: ArrayLike) -> Lens:
        size = self.backbone.rows * CELL, self.backbone.columns * CELL
        return make_lens(size, scale=scale, intrinsics=intrinsics)

    def _given(self, cells, prompt, lens: Lens, chunk: int, keys: np.ndarray | None, worlds: int) -> Given:
        if keys is not None:
            lens = lens._replace(actions=jnp.asarray(keys[:CHUNK_FRAMES], jnp.float32)[None])
        given = Given(lens, cells_of_chunk(cells, chunk), prompt[None])
        return jax.tree.map(lambda part: jnp.repeat(part, worlds, axis=0), given) if worlds > 1 else given

    def _first_frame(self, coder: dict | None) -> jax.Array:
        backbone, latents = self.backbone, self.length.latents
        if self.image is None or coder is None:  # the one with the other
            return draw_first_frame(self.coder, jax.random.key(0), (backbone.rows, backbone.columns), latents=latents)
        return self._encoded(self.image, coder)

    def _encoded(self, image: np.ndarray, coder: dict) -> jax.Array:
        frame = _stretch(image, self.backbone.rows * CELL, self.backbone.columns * CELL)
        made = encode_first_frame(self.coder, coder, frame[None], latents=self.length.latents)
        return jax.block_until_ready(made)


@functools.partial(jax.jit, static_argnums=(1, 2))
def _stretch(image: jax.Array, height: int, width: int) -> jax.Array:
    """Bring an image uint8 ``[H, W, 3]`` to the video's size, stretched and not cropped, in [-1, 1]."""
    return bicubic(image.astype(jnp.float32) / 127.5 - 1, height, width)
