"""What LingBot-World-Fast is asked for."""

import dataclasses
from typing import ClassVar, Literal

from ports.lingbot_world.released_options import RELEASED, ReleasedMemory
from ports.wan.latents import CHUNK_FRAMES, frames_of
from ports.wan.program.shared_options import LIVE, Decoder, DType, decoder_option, dtype_option
from worldkv_jax.sessions.model_options import ModelOptions
from worldkv_jax.sessions.options import ReleasedCommand, option, options_class
from worldkv_jax.sessions.speed_options import (
    Commit,
    EightBits,
    commit_option,
    offload_option,
    steps_option,
    weights_option,
)

_UNTRAINED = "without a checkpoint"
_LATENT_STEP = 0.2
"""Scene units that somebody walks between latent frames: 0.05 a video frame."""


@options_class
class LingBotOptions(ModelOptions):
    """Open LingBot-World-Fast.

    ``session.inputs`` takes a camera path, poses ``[n, 4, 4]`` of all video frames with their ``intrinsics``; or
    a `worldkv_jax.rollout.CameraSource` of latent frames, for which ``translation_scale`` has to be given.
    """

    OPENED_BY: ClassVar[str] = "ports.lingbot_world.opening:open_session"
    RELEASED: ClassVar[ReleasedCommand | None] = RELEASED

    ckpt: str | None = option(None, "model folder as released, or a converted one", metavar="DIR", also="--ckpt_dir")
    image: str | None = option(None, "picture that the video begins with", metavar="FILE")
    prompt: str | None = option(
        None, "what is to be seen; or an embedding: a .npy or .safetensors file", metavar="TEXT"
    )
    trajectory: str | None = option(
        None,
        "folder with poses.npy and intrinsics.npy, or camera moves such as R_L_R_L90",
        metavar="DIR|SCRIPT",
        also="--action_path",
    )
    frames: int | None = option(
        None, "video frames, cut to whole chunks (default: the path)", metavar="N", also="--frame_num"
    )
    size: str | tuple[int, int] = option(
        "480*832", "area of a frame; its shape is the image's (default: 480*832)", metavar="H*W"
    )
    resolution: str | tuple[int, int] | None = option(
        None, "exact size instead, in multiples of 16; the image is stretched to it", metavar="HxW"
    )
    translation_scale: float | None = option(
        None,
        "scene units of the fastest motion between latent frames (default: measured along the whole path)",
        metavar="S",
    )
    shift: float = option(10.0, "of the noise levels (default: 10)", metavar="S", also="--sample_shift")
    dtype: DType = dtype_option()
    decoder: Decoder = decoder_option()
    steps: int | None = steps_option()
    commit: Commit = commit_option()
    weights: EightBits | None = weights_option()
    offload: int = offload_option()
    random_weights: bool = option(
        False, "draw the weights, to measure speed and memory; needs no file", group=_UNTRAINED
    )
    tiny: bool = option(False, "a tiny model with random weights, for any machine", group=_UNTRAINED)
    dim: int | None = option(
        None, "width of the transformer, a multiple of 128 (default: 5120)", metavar="N", group=_UNTRAINED
    )
    layers: int | None = option(None, "depth of the transformer (default: 40)", metavar="N", group=_UNTRAINED)
    control: Literal["cam", "act"] | None = option(
        None, "steered by poses (default), or by poses and keys", group=_UNTRAINED
    )
    released: ReleasedMemory | None = option(
        None, "the memory that the released program's flags describe", group=RELEASED.heading
    )

    def played(self, chunks: int) -> "LingBotOptions":
        """Let cameras come live, for so many chunks; the scale of motion is that of a walk unless it is given."""
        return dataclasses.replace(
            self,
            trajectory=LIVE,
            frames=self.frames or frames_of(CHUNK_FRAMES * chunks),
            translation_scale=self.translation_scale or _LATENT_STEP,
        )
