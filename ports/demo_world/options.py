"""What the demo world is asked for."""

import typing

from worldkv_jax.sessions.options import option, options_class

if typing.TYPE_CHECKING:
    from worldkv_jax.memory import MemoryConfig
    from worldkv_jax.sessions import MemoryOptions, Session


@options_class
class DemoOptions:
    """Open the demo world.

    ``session.inputs`` takes poses ``[n, 4, 4]`` of all frames, or ``[B, n, 4, 4]`` of each world's; or a
    `worldkv_jax.rollout.CameraSource`.
    """

    trajectory: str = option("R120_L120", "camera moves (default: R120_L120)", metavar="SCRIPT")
    degrees_per_frame: float = option(10.0, "speed of turns", metavar="D")
    worlds: int = option(1, "worlds generated at once", metavar="N")
    checkpoint: str | None = option(None, "other weights than the shipped ones", metavar="FILE")

    def check(
        self, memory: "MemoryConfig | MemoryOptions | None" = None, *, weights: bool = True, decode: bool = True
    ) -> "Session":
        """Check everything that was asked for, see `worldkv_jax.sessions.Options`."""
        from ports.demo_world.loading import open_session  # help needs no JAX

        return open_session(self, memory, decode=decode)
