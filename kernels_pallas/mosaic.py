"""What the Mosaic GPU versions share: the interpreter's options."""

from typing import Any


def interpret_options(interpret: bool) -> dict[str, Any]:
    """Return the keyword arguments that make `plgpu.kernel` run in the GPU interpreter, or none.

    Raises NotImplementedError where this jax has no such interpreter.
    """
    if not interpret:
        return {}
    from jax.experimental.pallas import mosaic_gpu as plgpu

    params = getattr(plgpu, "InterpretGPUParams", None)
    if params is None:
        raise NotImplementedError("the interpreter of Mosaic GPU kernels came with jax 0.11; use a newer jax")
    return {"interpret": params()}
