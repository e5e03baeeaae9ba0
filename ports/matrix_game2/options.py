"""What Matrix-Game 2.0 is asked for."""

import dataclasses
from typing import ClassVar, Literal

from ports.wan.program.shared_options import LIVE, Decoder, DType, decoder_option, dtype_option
from worldkv_jax.sessions.model_options import ModelOptions
from worldkv_jax.sessions.options import option, options_class
from worldkv_jax.sessions.speed_options import (
    Commit,
    EightBits,
    commit_option,
    offload_option,
    steps_option,
    weights_option,
)

_UNITS = "where actions lead the camera, for retrieval alone"
_UNTRAINED = "without a checkpoint"


@options_class
class MatrixGameOptions(ModelOptions):
    """Open Matrix-Game 2.0.

    ``session.inputs`` takes actions as the option does, one for each world; `ports.matrix_game2.actions.Rows`; or a
    `ports.matrix_game2.play.Source` that is asked chunk by chunk.
    """

    OPENED_BY: ClassVar[str] = "ports.matrix_game2.opening:open_session"

    variant: Literal["universal", "gta_drive", "templerun"] = option(
        "universal", "which of the released models (default: universal)"
    )
    ckpt: str | None = option(None, "model folder as released, or a converted one", metavar="DIR")
    image: tuple[str, ...] | str | None = option(
        None, "picture that the world begins with; repeat for more worlds", metavar="FILE"
    )
    actions: tuple[str, ...] | str | None = option(
        None,
        "what is pressed, chunk by chunk: a script such as 'W2 WL10 Q' (universal: WASD walk, IJKL look; gta_drive: WS "
        "pedals, AD steer; templerun: W jump, S slide, AD aside, ZC turn; Q nothing), a .txt file with one, a .npz or "
        ".safetensors file with keyboard and mouse of every frame, random:SEED for the released benchmark's, or - to "
        "type them live; repeat for more worlds",
        metavar="SCRIPT|FILE",
    )
    chunks: int | None = option(None, "chunks of 12 frames, the first of 9 (default: the actions')", metavar="N")
    size: str | tuple[int, int] | None = option(
        None, "height and width, multiples of 16 (default: 352x640, what it was trained on)", metavar="HxW"
    )
    fps: float = option(12.0, "frames a second of the video (default: 12, as released)", metavar="F")
    dtype: DType = dtype_option()
    decoder: Decoder = decoder_option()
    decoder_dtype: Literal["float16", "bfloat16", "float32"] | None = option(
        None, "of the decoder's activations (default: float16 as released, float32 with --dtype float32)"
    )
    degrees_per_mouse_unit: float | None = option(
        None, "(default: 15, Matrix-Game 3's; uncalibrated)", metavar="D", group=_UNITS
    )
    step: float | None = option(
        None, "scene units a frame (default: 0.1235, Matrix-Game 3's; uncalibrated)", metavar="S", group=_UNITS
    )
    steps: int | None = steps_option()
    commit: Commit = commit_option()
    weights: EightBits | None = weights_option()
    offload: int = offload_option()
    random_weights: bool = option(
        False, "draw the weights, to measure speed and memory; needs no file", group=_UNTRAINED
    )
    tiny: bool = option(False, "a tiny model with random weights, for any machine", group=_UNTRAINED)

    def played(self, chunks: int) -> "MatrixGameOptions":
        """Let actions come live, for so many chunks."""
        return dataclasses.replace(self, actions=LIVE, chunks=self.chunks or chunks)
