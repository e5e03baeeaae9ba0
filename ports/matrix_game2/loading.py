"""What one rollout of Matrix-Game 2.0 is made of: weights loaded, first images encoded, chunks given."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from ports.matrix_game2.action_sources import read_actions
from ports.matrix_game2.actions import Rows
from ports.matrix_game2.backbone import MatrixGame2
from ports.matrix_game2.checkpoint import dit_component
from ports.matrix_game2.model import MatrixGameDiT
from ports.matrix_game2.play import Source, cut_rows, follow, play
from ports.matrix_game2.scene import Scene, SceneEncoder, fit_picture
from ports.matrix_game2.steering import MatrixGameSteering
from ports.matrix_game2.variants import Variant
from ports.wan.autoencoders import wan_vae
from ports.wan.backbone import WanParams
from ports.wan.encoders import clip
from ports.wan.latents import CELL, CHUNK_FRAMES
from ports.wan.nn.parameters import init_params
from ports.wan.program.coders import coder_params, decoder_params
from ports.wan.program.first_frame import draw_first_frame
from ports.wan.program.weights import load_for_once, make_transformer
from worldkv_jax.cameras.actions import MotionUnits
from worldkv_jax.rollout import ChunkInput
from worldkv_jax.sessions import Loaded, Placement

Actions = Sequence[Rows] | Callable[..., Source]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Program:
    """What one rollout is made of."""

    backbone: MatrixGame2
    variant: Variant
    coder: wan_vae.VAEConfig
    """The VAE that encodes the first images."""
    tower: clip.CLIPConfig
    pictures: np.ndarray | None
    """``[n, height, width, 3]`` of one or all worlds; ``None`` for noise in their place, with random weights."""
    actions: Actions
    """Of one or all worlds; or what makes a source of them, given what it answered before."""
    worlds: int
    chunks: int
    units: MotionUnits
    fps: float
    ckpt: str | None
    """``None`` for random weights."""
    offload: int
    """Layers whose weights wait in host memory."""
    decodes: bool

    def load(self, where: Placement) -> Loaded:
        """Encode the first images, then load the transformer: one large network at a time."""
        config = self.backbone.config
        if self.ckpt is None:
            scene, decoder = self._draw_scene(), self._decoder(where, None)
        else:
            scene, decoder = self._load_scene(where)
        component = dit_component(self.variant)
        dit = make_transformer(MatrixGameDiT, config, where, component=component, ckpt=self.ckpt, offload=self.offload)
        return Loaded(
            params=WanParams(dit, decoder),
            inputs=functools.partial(self.inputs, scene),
            live=self.actions if callable(self.actions) else None,
            steering=MatrixGameSteering(
                variant=self.variant,
                scene=jax.tree.map(lambda part: part[:1], scene),
                encode=functools.partial(self._encode_picture, where),
                units=self.units,
                most_chunks=self.chunks,
                fps=self.fps,
            ),
        )

    def inputs(
        self, scene: Scene, actions: Source | Rows | str | Sequence[Rows | str] | None = None, *, worlds: int
    ) -> Iterable[ChunkInput]:
        """Make what each chunk is given.

        Args:
            scene: what the first images contribute.
            actions: of all worlds, or of each; or who is asked for them. Those of the options by default. Where
                there are fewer than worlds, those with the same ones are neighbours, as with pictures.
            worlds: worlds in the batch.
        """
        given = actions
        if given is None:
            given = self.actions() if callable(self.actions) else self.actions
        scene = scene.of_worlds(worlds)
        if callable(given):
            return play(scene, self.variant, given, units=self.units)
        listed = [given] if isinstance(given, str | Rows) else list(given)
        rows = [read_actions(self.variant, one) if isinstance(one, str) else one for one in listed]
        if worlds % len(rows):
            raise ValueError(f"got {len(rows)} actions for {worlds} worlds; give as many, or one for all")
        rows = [one for one in rows for _ in range(worlds // len(rows))]
        return list(follow(scene, self.variant, cut_rows(rows), units=self.units))

    def _encode_picture(self, where: Placement, picture: np.ndarray) -> Scene:
        """Encode another first image; with random weights by networks that are drawn anew."""
        backbone = self.backbone
        fitted = fit_picture(picture, backbone.rows * CELL, backbone.columns * CELL)[None]
        return jax.block_until_ready(self._encoder(where)(jnp.asarray(fitted), chunks=self.chunks))

    def _load_scene(self, where: Placement) -> tuple[Scene, dict | None]:
        """Encode the first images; the decoder stays, everything else goes."""
        encoder = self._encoder(where)
        scene = jax.block_until_ready(encoder(jnp.asarray(self.pictures), chunks=self.chunks))
        return scene, self._decoder(where, encoder.vae_params)

    def _encoder(self, where: Placement) -> SceneEncoder:
        """Load or draw the networks that read first images."""
        if self.ckpt is None:
            tower, tower_params = self.tower, init_params(clip.VisionTower, self.tower, 0)
        else:
            tower, tower_params = load_for_once(self.ckpt, clip.COMPONENT, self.backbone.config.dtype, where)
        # Released in half precision; single costs little here and is nearer to what was trained.
        coder = coder_params(self.coder, where, ckpt=self.ckpt)
        return SceneEncoder(vae=self.coder, vae_params=coder, clip=tower, clip_params=tower_params)

    def _draw_scene(self) -> Scene:
        """Draw what the first images would contribute."""
        backbone, tower, keys = self.backbone, self.tower, jax.random.split(jax.random.key(0))
        latents, size = self.chunks * CHUNK_FRAMES, (backbone.rows, backbone.columns)
        cells = draw_first_frame(self.coder, keys[0], size, worlds=self.worlds, latents=latents)
        tokens = (self.worlds, 1 + (tower.image_size // tower.patch_size) ** 2, tower.dim)
        return Scene(cells, jax.random.normal(keys[1], tokens))

    def _decoder(self, where: Placement, coder: dict | None) -> dict | None:
        return decoder_params(self.backbone.vae, where, ckpt=self.ckpt, coder=coder) if self.decodes else None
