"""What one rollout of InSpatio-World is made of: the scene filmed and encoded, weights loaded, chunks given."""

import dataclasses
import functools
from collections.abc import Iterable

import jax
import jax.numpy as jnp

from ports.inspatio_world.backbone import InSpatioWorld
from ports.inspatio_world.checkpoint import DIT, TAEHV, VAE
from ports.inspatio_world.source.encode import encode_footage
from ports.inspatio_world.source.footage import film
from ports.inspatio_world.source.live import Camera, film_live
from ports.inspatio_world.source.scene import Scene
from ports.inspatio_world.source.shot import Shot
from ports.inspatio_world.steering import InSpatioSteering
from ports.wan.autoencoders import wan_vae
from ports.wan.backbone import WanParams
from ports.wan.nn.dit import WanDiT
from ports.wan.program.coders import coder_params, decoder_params
from ports.wan.program.prompt import Prompt
from ports.wan.program.weights import make_transformer
from worldkv_jax.rollout import CameraSource, ChunkInput
from worldkv_jax.sessions import Loaded, Placement


@dataclasses.dataclass(frozen=True, kw_only=True)
class Program:
    """What one rollout is made of."""

    backbone: InSpatioWorld
    coder: wan_vae.VAEConfig
    """The VAE that encodes source and render."""
    scene: Scene
    shot: Shot
    fps: float
    """Frames a second of the result."""
    released: bool
    """See `film`."""
    live: bool
    """Whether cameras are asked for while the rollout goes on."""
    prompt: Prompt
    ckpt: str | None
    """``None`` for random weights."""
    dit: str | None
    """File of the transformer, where it is not to be looked for in ``ckpt``."""
    offload: int
    """Layers whose weights wait in host memory."""
    decodes: bool

    def load(self, where: Placement) -> Loaded:
        """Film first, which tells soonest if a path is wrong; then load one large network at a time."""
        backbone, config = self.backbone, self.backbone.config
        footage = None if self.live else film(self.scene, self.shot, released=self.released)
        text = self.prompt.embed(where)
        coder = coder_params(self.coder, where, ckpt=self.ckpt, component=VAE, dtype=self.coder.compute_dtype)
        steering = None
        if footage is None:
            camera = Camera(vae=self.coder, coder=coder, scene=self.scene, text=text)
            inputs = functools.partial(self._live, camera)
            steering = InSpatioSteering(
                camera=camera, most_chunks=self.shot.latents // backbone.spec.chunk_frames, fps=self.fps
            )
        else:
            made = encode_footage(backbone, self.coder, coder, self.scene, self.shot, footage, text)
            inputs = functools.partial(_of_worlds, jax.block_until_ready(made))  # only then may the encoder go
        dit = make_transformer(
            WanDiT, config, where, component=DIT, ckpt=self.ckpt and (self.dit or self.ckpt), offload=self.offload
        )
        decoder = None
        if self.decodes:
            decoder = decoder_params(backbone.vae, where, ckpt=self.ckpt, coder=coder, component=TAEHV)
        notes = () if footage is None else footage.notes
        return Loaded(params=WanParams(dit, decoder), inputs=inputs, notes=notes, steering=steering)

    def _live(self, camera: Camera, cameras: CameraSource | None = None, *, worlds: int) -> Iterable[ChunkInput]:
        if cameras is None:
            raise ValueError("cameras come live: give who is asked for them, chunk by chunk")
        return film_live(self.backbone, camera, cameras, worlds=worlds)


def _of_worlds(inputs: list[ChunkInput], *, worlds: int) -> list[ChunkInput]:
    return jax.tree.map(lambda part: jnp.repeat(part, worlds, axis=0), inputs) if worlds > 1 else inputs
