"""What the demo world is asked for."""

from typing import ClassVar

from ports.demo_world.model_choice import FamilyName, Past
from worldkv_jax.sessions.model_options import ModelOptions
from worldkv_jax.sessions.options import option, options_class
from worldkv_jax.sessions.speed_options import Commit, EightBits, commit_option, steps_option, weights_option


@options_class
class DemoOptions(ModelOptions):
    """Open the demo world.

    ``session.inputs`` takes poses ``[n, 4, 4]`` of all frames, or ``[B, n, 4, 4]`` of each world's; or a
    `worldkv_jax.rollout.CameraSource`.
    """

    OPENED_BY: ClassVar[str] = "ports.demo_world.loading:open_session"

    trajectory: str = option("R120_L120", "camera moves (default: R120_L120)", metavar="SCRIPT")
    degrees_per_frame: float = option(10.0, "speed of turns", metavar="D")
    worlds: int = option(1, "worlds generated at once", metavar="N")
    family: FamilyName = option("rooms", "family of worlds that the shipped weights are of")
    past: Past = option("clips", "what the shipped model saw of the past while it was trained")
    checkpoint: str | None = option(None, "other weights than the shipped ones", metavar="FILE")
    steps: int | None = steps_option()
    commit: Commit = commit_option()
    weights: EightBits | None = weights_option()
