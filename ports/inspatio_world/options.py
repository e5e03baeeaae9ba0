"""What InSpatio-World is asked for."""

import dataclasses
from typing import ClassVar, Literal

from ports.wan.latents import CHUNK_FRAMES, frames_of
from ports.wan.program.shared_options import LIVE, Decoder, DType, decoder_option, dtype_option
from worldkv_jax.sessions.model_options import ModelOptions
from worldkv_jax.sessions.options import option, options_class
from worldkv_jax.sessions.speed_options import EightBits, offload_option, steps_option, weights_option

_PATH = "camera path of v1"
_SOURCE = "what retrieval knows of the source"
_UNTRAINED = "without a checkpoint"


@options_class
class InSpatioOptions(ModelOptions):
    """Open InSpatio-World.

    With ``trajectory="-"`` cameras come live: ``session.inputs`` takes a `worldkv_jax.rollout.CameraSource`, whose
    poses are those of latent frames in the scene's own coordinates.
    """

    OPENED_BY: ClassVar[str] = "ports.inspatio_world.opening:open_session"

    ckpt: str | None = option(None, "model folder as released, or a converted one", metavar="DIR")
    dit: str | None = option(None, "the transformer, where the folder has several or none", metavar="FILE")
    scene: str | None = option(None, "folder with frames, depth, intrinsics and poses; or: builtin", metavar="DIR")
    trajectory: str | None = option(
        None, "camera path: three lines (v1) or world-to-camera matrices (v1.5)", metavar="FILE"
    )
    version: Literal["v1", "v1.5"] | None = option(None, "whose rules to film by (default: the scene's)")
    prompt: str | None = option(
        None, "what is to be seen; or an embedding, a .npy or .safetensors file", metavar="TEXT"
    )
    frames: int | None = option(None, "video frames at most", metavar="N")
    fps: float | None = option(None, "frames a second of the result (default: the scene's, or 24)", metavar="F")
    size: str | tuple[int, int] | None = option(
        None, "height and width; frames are stretched (default: 480x832; builtin: 96x144)", metavar="HxW"
    )
    depth_scale: float = option(1.0, "multiply depths, to the unit of the poses", metavar="S")
    dtype: DType = dtype_option()
    decoder: Decoder = decoder_option()
    decoder_rule: Literal["inspatio", "wan"] = option("inspatio", "cache of the VAE's decoder")
    follow: bool = option(False, "start from the source's camera of every frame, not of the first", group=_PATH)
    rotation_only: bool = option(False, "turn on the spot", group=_PATH)
    freeze_repeat: int = option(0, "show one frame N more times", metavar="N", group=_PATH)
    freeze_frame: int | None = option(None, "which frame (default: the middle one)", metavar="I", group=_PATH)
    all_frames: bool = option(False, "neither bounce nor thin a source that is short or long for its path", group=_PATH)
    fit: Literal["smooth", "exact"] = option("smooth", "near the keys as released, or through them", group=_PATH)
    as_released: bool = option(False, "multiply poses and centre the lens as the released code does", group=_PATH)
    least_unknown: float = option(0.0, "share the source leaves unknown to retrieve at", metavar="S", group=_SOURCE)
    time_weight: float = option(0.0, "weight of the distance in the source's time", metavar="W", group=_SOURCE)
    known_weight: float = option(0.0, "weight of what the source showed of a chunk", metavar="W", group=_SOURCE)
    steps: int | None = steps_option()
    weights: EightBits | None = weights_option()
    offload: int = offload_option()
    random_weights: bool = option(False, "draw the weights; no checkpoint is needed", group=_UNTRAINED)
    tiny: bool = option(False, "a tiny model with random weights, for any machine", group=_UNTRAINED)

    def played(self, chunks: int) -> "InSpatioOptions":
        """Let cameras come live, for so many chunks; a tiny model films the scene that is built in."""
        scene = "builtin" if self.scene is None and self.tiny else self.scene
        return dataclasses.replace(
            self, trajectory=LIVE, scene=scene, frames=self.frames or frames_of(CHUNK_FRAMES * chunks)
        )
