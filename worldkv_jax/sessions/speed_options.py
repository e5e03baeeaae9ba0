"""What makes a model faster or smaller at some cost, the same for every model: fewer passes, and where weights lie."""

from typing import Any, Literal

from worldkv_jax.sessions.options import option

Commit = Literal["clean_pass", "last_pass"]
"""The pass that yields what is remembered, see `worldkv_jax.rollout.Schedule.commit`."""
EightBits = Literal["int8", "fp8"]
"""What weights may be rounded to."""

_GROUP = "faster at some cost, see docs/performance.md"


def steps_option() -> Any:
    """Declare how many denoising passes are made, see `worldkv_jax.rollout.Schedule.fewer_passes`."""
    return option(None, "denoising passes: all (default), or every so many of them", metavar="N", group=_GROUP)


def commit_option() -> Any:
    """Declare which pass yields what is remembered, see `worldkv_jax.rollout.Schedule.commit`."""
    return option(
        "clean_pass",
        "remember from a pass of its own over the clean chunk (default), or from the last denoising pass",
        group=_GROUP,
    )


def weights_option() -> Any:
    """Declare whether the kernels of the blocks are in eight bits."""
    return option(None, "eight bits for the blocks' kernels and what they multiply", group=_GROUP)


def offload_option() -> Any:
    """Declare how many layers' weights wait in host memory."""
    return option(
        0,
        "layers whose weights wait in pinned host memory and are fetched one ahead in every pass (default: none)",
        metavar="N",
        group="less memory at some cost, see docs/performance.md",
    )
